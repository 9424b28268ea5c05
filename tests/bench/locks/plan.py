"""Which runs are made, in which order, and which of them count.

Entries of a step take turns, so that a slow minute of the machine strikes them all. A
run with too much noise is thrown away and repeated while there is time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
from tests.bench.measuring import wait_for_quiet

TRIES = 4
PATIENCE_S = 30.0
FEWEST = 3
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
    """One sitting: all steps of the plan.

    Runs are repeated within `budget_s`; before it repeats one it waits for quiet, but
    for no more than `patience_s` in all, which prolongs the budget.
    """

    lab: Lab
    size: Size
    budget_s: float
    patience_s: float = 0.0
    is_quick: bool = False

    def runs(self) -> Iterator[Run]:
        """Every run, discarded ones too (`why_not`), and those that failed."""
        deadline = time.monotonic() + self.budget_s
        patience_s = self.patience_s
        for step in PLAN:
            for number, entry in step.turns(self.size, is_quick=self.is_quick):
                if entry.home not in self.lab.pythons:
                    continue
                for _ in range(1 if self.is_quick else TRIES):
                    run = self._once(step, entry)
                    yield {
                        "scenario": step.scenario,
                        "peer": entry.key,
                        "round": number,
                        **run,
                    }
                    if not run.get("why_not") or time.monotonic() > deadline:
                        break
                    waited_s = wait_for_quiet(min(patience_s, PATIENCE_S))
                    deadline += waited_s
                    patience_s -= waited_s

    def _once(self, step: Step, entry: Entry) -> Run:
        try:
            return step.run(self.lab, entry, self.size)
        except ChildFailed as error:
            return {"failed": str(error)}


class Results:
    """The runs of a sitting, summed up by scenario and peer."""

    def __init__(self, runs: list[Run]) -> None:
        self._by: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            self._by.setdefault((run["scenario"], run["peer"]), []).append(run)

    def kept(self, scenario: str, peer: str) -> list[Run]:
        """The runs that count: the quiet ones, or if there is none, the best."""
        done = [r for r in self._by.get((scenario, peer), []) if "result" in r]
        quiet = [r for r in done if not r["why_not"]]
        return quiet or sorted(done, key=_loudness)[:FEWEST]

    def is_noisy(self, scenario: str, peer: str) -> bool:
        kept = self.kept(scenario, peer)
        return bool(kept) and bool(kept[0]["why_not"])

    def failure(self, scenario: str, peer: str) -> str:
        """Why there is nothing, if there is nothing."""
        failed = [
            r["failed"] for r in self._by.get((scenario, peer), []) if "failed" in r
        ]
        return failed[-1] if failed and not self.kept(scenario, peer) else ""

    def values(self, scenario: str, peer: str, path: str) -> list[float]:
        """One figure of all runs that count. `path` such as "result.pair_us.p50"."""
        return [
            value
            for run in self.kept(scenario, peer)
            if (value := _at(run, path)) is not None
        ]

    def per_op(self, scenario: str, peer: str, what: str) -> list[float]:
        """What the server counted, by the operations of the run."""
        return [
            run["counts"][what] / run["result"]["n"]
            for run in self.kept(scenario, peer)
        ]

    def ratios(self, scenario: str, ours: str, peer: str, path: str) -> list[float]:
        """`ours` over `peer`, round by round: neighbours in time."""
        pairs = []
        for run in self.kept(scenario, peer):
            near = [
                r for r in self.kept(scenario, ours) if r["round"] == run["round"]
            ] or self.kept(scenario, ours)
            index = self._by_time(near, run)
            mine, theirs = _at(index, path), _at(run, path)
            if mine is not None and theirs:
                pairs.append(mine / theirs)
        return pairs

    @staticmethod
    def _by_time(near: list[Run], run: Run) -> Run:
        return min(near, key=lambda r: abs(r["at"] - run["at"]))


def _loudness(run: Run) -> float:
    noise: dict[str, float] = run["noise"]
    return noise["steal_pct"] + noise["foreign_pct"]


def _at(run: Mapping[str, Any], path: str) -> float | None:
    value: Any = run
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return float(value)
