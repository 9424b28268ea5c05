"""How many failed tasks may be tried again soon, for each name and each worker.

When what a task depends on fails, all of them fail, and their retries would become the
load that keeps it from recovering. So only a share of what began lately is retried at
the backoff's pace. What is beyond is not given up: it rests at least half of the
longest rest that its policy knows. Source: Finagle's `RetryBudget`.
"""

from __future__ import annotations

from quorate.core.clock import Chance
from quorate.resilience.budget import RetryBudget

from .model import Move, MoveKind
from .patience import RetryPolicy


class RetryBudgets:
    """The budgets of one queue in this process, by the name of the task.

    Beginning a task costs one addition: the counts are handed to the budgets at each
    exchange.
    """

    def __init__(self, share: float, floor_per_s: float) -> None:
        self._share = share
        self._floor_per_s = floor_per_s
        self._budgets: dict[str, RetryBudget] = {}
        self._begun: dict[str, int] = {}
        self.postponed = 0

    def began(self, name: str) -> None:
        """A task of this name is tried for the first time."""
        self._begun[name] = self._begun.get(name, 0) + 1

    def note(self, now: float) -> None:
        """What began since the last time, began now."""
        for name, times in self._begun.items():
            self._of(name).called(now, times)
        self._begun.clear()

    def within(
        self, move: Move, name: str, policy: RetryPolicy, now: float, chance: Chance
    ) -> Move:
        """`move` as it is if it is no retry or the budget has room, else later."""
        if move.kind is not MoveKind.RETRY or self._of(name).take(now):
            return move
        self.postponed += 1
        cap_s = policy.backoff.cap_s
        delay_s = max(move.delay_s, chance.uniform(cap_s / 2, cap_s))
        return move._replace(delay_s=delay_s)

    def _of(self, name: str) -> RetryBudget:
        budget = self._budgets.get(name)
        if budget is None:
            budget = self._budgets[name] = RetryBudget(self._share, self._floor_per_s)
        return budget
