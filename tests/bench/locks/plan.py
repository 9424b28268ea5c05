"""What is run, and in which order.

Entries of a step take turns, so that a slow minute of the machine strikes them all. A
turn is some windows of one process or group of processes; a window with too much noise
is thrown away and another one tried.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.bench.locks import scenarios as of
from tests.bench.locks.lab import ChildFailed, Lab
from tests.bench.locks.roster import (
    AIOREDLOCK,
    COREDIS,
    OURS,
    OURS_PLAIN,
    PLAIN,
    POTTERY,
    POTTERY_WIDE,
    PYTHON_REDIS_LOCK,
    REDIS_PY,
    REDIS_PY_EAGER,
    REDIS_PY_WIDE,
    Entry,
)
from tests.bench.locks.scenarios import Run, Scenario, Size

FAIR = (OURS, PYTHON_REDIS_LOCK)
CONTENDERS = (*FAIR, REDIS_PY, REDIS_PY_EAGER, POTTERY, COREDIS, AIOREDLOCK)
PERIOD_S, QUICK_PERIOD_S = 30.0, 5.0
"""Who does not poll asks again every 10 to 15 s; the window sees that twice."""


@dataclass(frozen=True, slots=True)
class Step:
    """One scenario for some entries. `against`: it runs before each of the others."""

    scenario: str
    run: Scenario
    entries: tuple[Entry, ...]
    rounds: int | None = None
    against: Entry | None = None
    quick: tuple[Entry, ...] = ()

    def turns(self, size: Size, *, is_quick: bool) -> Iterator[tuple[int, Entry]]:
        entries = self.quick if is_quick else self.entries
        for number in range(min(size.rounds, self.rounds or size.rounds)):
            for entry in entries:
                if self.against is not None:
                    yield number, self.against
                yield number, entry


PLAN = (
    Step("bare", of.bare, (OURS, REDIS_PY), quick=(OURS, REDIS_PY)),
    Step("bare-32", of.bare_32, (OURS, REDIS_PY), quick=(OURS, REDIS_PY)),
    Step("paired", of.paired, (OURS,), quick=(OURS,)),
    Step(
        "uncontended", of.uncontended, (*PLAIN, OURS_PLAIN), against=OURS, quick=PLAIN
    ),
    Step("counted", of.counted, (OURS, *PLAIN), rounds=1, quick=(OURS, *PLAIN)),
    Step("distinct", of.distinct, PLAIN, against=OURS, quick=PLAIN),
    Step("reenter", of.reenter, (OURS,), quick=(OURS,)),
    Step("message", of.message, (OURS, REDIS_PY), quick=(OURS,)),
    Step("contention-2", of.contention(2), CONTENDERS),
    Step(
        "contention-10",
        of.contention(10),
        CONTENDERS,
        quick=(OURS, PYTHON_REDIS_LOCK, REDIS_PY),
    ),
    Step("counted-10", of.counted_contention, CONTENDERS, rounds=1, quick=(OURS,)),
    Step("line-up", of.line_up, FAIR, rounds=1, quick=(OURS,)),
    Step(
        "crowd",
        of.crowd,
        (OURS, AIOREDLOCK, PYTHON_REDIS_LOCK, REDIS_PY),
        quick=(OURS, REDIS_PY),
    ),
    Step("crowd", of.crowd, (REDIS_PY_WIDE, POTTERY_WIDE, COREDIS), rounds=1),
    Step("counted-crowd", of.counted_crowd, (OURS,), rounds=1, quick=(OURS,)),
    Step("idle", of.idle(PERIOD_S), FAIR, rounds=1),
    Step("idle", of.idle(), (REDIS_PY, POTTERY, COREDIS, AIOREDLOCK)),
    Step("idle", of.idle(QUICK_PERIOD_S), (), quick=(OURS,)),
    Step("holding", of.holding(), (OURS,), quick=(OURS,)),
    Step("holding-one", of.holding(1), (OURS,), rounds=1),
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One sitting: all steps of the plan; after `budget_s` in fewer windows."""

    lab: Lab
    size: Size
    budget_s: float
    is_quick: bool = False

    def runs(self) -> Iterator[Run]:
        """Every window, noisy ones too (`why_not`), and the failures."""
        deadline = time.monotonic() + self.budget_s
        turn = 0
        for step in PLAN:
            for number, entry in step.turns(self.size, is_quick=self.is_quick):
                if entry.home not in self.lab.pythons:
                    continue
                size = self.size
                if time.monotonic() > deadline:
                    size = replace(size, tries=size.quiet)
                turn += 1
                for run in self._turn(step, entry, size):
                    yield {
                        "scenario": step.scenario,
                        "peer": entry.key,
                        "round": number,
                        "turn": turn,
                        **run,
                    }

    def _turn(self, step: Step, entry: Entry, size: Size) -> list[Run]:
        try:
            return step.run(self.lab, entry, size)
        except ChildFailed as error:
            return [{"failed": str(error)}]
