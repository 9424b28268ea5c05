"""Holds the results of a sitting against what was promised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tests.bench.results import Results
from tests.bench.spread import median


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    noisy: bool = False

    def facts(self) -> dict[str, object]:
        return asdict(self)


class Missing(Exception):
    """A figure that the goal needs was not measured."""


class Judge:
    """Holds the results of a sitting against the goals."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def verdicts(self, goals: Sequence[Goal]) -> list[Verdict]:
        return [self._safely(goal) for goal in goals]

    def _safely(self, goal: Goal) -> Verdict:
        try:
            measured, met = goal.look(self)
        except Missing as error:
            return Verdict(goal.what, goal.wanted, f"not measured ({error})", None)
        noisy = any(
            self._results.is_noisy(scenario, peer) for scenario, peer in goal.needs
        )
        return Verdict(goal.what, goal.wanted, measured, met, noisy)

    def one(self, scenario: str, peer: str, path: str) -> float:
        values = self._results.values(scenario, peer, path)
        if not values:
            raise Missing(f"{scenario}, {peer}")
        return median(values)

    def per_op(self, scenario: str, peer: str, what: str) -> float:
        values = self._results.per_op(scenario, peer, what)
        if not values:
            raise Missing(f"{scenario}, {peer}")
        return median(values)

    def ratio(self, scenario: str, peer: str, path: str) -> float:
        """Ours over `peer`'s."""
        values = self._results.ratios(scenario, "ours", peer, path)
        if not values:
            raise Missing(f"{scenario}, {peer}")
        return median(values)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted, and who looks whether it is so; `needs` are its figures."""

    what: str
    wanted: str
    look: Callable[[Judge], tuple[str, bool]]
    needs: tuple[tuple[str, str], ...]
