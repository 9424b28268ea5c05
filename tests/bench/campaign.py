"""A sitting: the steps of a plan, in which entries take turns.

A slow minute of the machine strikes them all. A turn is some windows of one entry; a
window with too much noise is thrown away and another one tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from tests.bench.entries import Entry
from tests.bench.lab import ChildFailed, Lab, Seen
from tests.bench.results import Run


class Sized(Protocol):
    """How often, and how many tries for so many quiet windows."""

    @property
    def rounds(self) -> int: ...

    @property
    def quiet(self) -> int: ...

    @property
    def tries(self) -> int: ...


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """One scenario for some entries. `against`: it runs before each of the others."""

    scenario: str
    run: Callable[[Lab, Entry, S], list[Run]]
    entries: tuple[Entry, ...]
    rounds: int | None = None
    against: Entry | None = None
    quick: tuple[Entry, ...] = ()

    def turns(self, size: Sized, *, is_quick: bool) -> Iterator[tuple[int, Entry]]:
        entries = self.quick if is_quick else self.entries
        for number in range(min(size.rounds, self.rounds or size.rounds)):
            for entry in entries:
                if self.against is not None:
                    yield number, self.against
                yield number, entry


@dataclass(frozen=True, slots=True)
class Campaign(Generic[S]):
    """One sitting: all steps of the plan; after `budget_s` in fewer windows."""

    lab: Lab
    plan: Sequence[Step[S]]
    size: S
    budget_s: float
    is_quick: bool = False

    def runs(self) -> Iterator[Run]:
        """Every window, noisy ones too (`why_not`), and the failures."""
        deadline = time.monotonic() + self.budget_s
        turn = 0
        for step in self.plan:
            for number, entry in step.turns(self.size, is_quick=self.is_quick):
                if entry.home not in self.lab.pythons:
                    continue
                size: Any = self.size
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

    def _turn(self, step: Step[S], entry: Entry, size: S) -> list[Run]:
        try:
            return step.run(self.lab, entry, size)
        except ChildFailed as error:
            return [{"failed": str(error)}]


def facts(seen: Seen, result: dict[str, Any]) -> Run:
    """One window."""
    return {
        "result": dict(result),
        "counts": seen.counts,
        "noise": seen.noise,
        "why_not": seen.why_not,
    }


def counted(seen: Seen, result: dict[str, Any]) -> Run:
    """Facts that hardly suffer from noise: counts, and processor time of the idle."""
    return {**facts(seen, result), "why_not": ""}


def until_quiet(size: Sized, window: Callable[[], Run]) -> list[Run]:
    """Windows until enough of them were quiet, or the tries are used up."""
    runs: list[Run] = []
    while len(runs) < size.tries:
        runs.append(window())
        if sum(not run["why_not"] for run in runs) == size.quiet:
            break
    return runs
