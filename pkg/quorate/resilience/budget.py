"""How many retries may be made at all, so that retries do not become the load.

Of the calls of the last ten seconds a fifth may be repeated, and ten a second on top,
so that a quiet client can retry as well. Source: Finagle's `RetryBudget` (20 %, 10 per
second, 10 s). Pure: time is handed in.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from quorate.core.errors import InvalidInput

_SLICES = 10


@dataclass(frozen=True, slots=True)
class RetryBudgetStats:
    """Counts since the budget was made."""

    calls: int
    retries: int
    refused: int


@dataclass(slots=True)
class _Slice:
    number: int
    calls: int = 0
    retries: int = 0


class RetryBudget:
    """A share of recent calls that may be repeated. One per service that is called."""

    def __init__(
        self, share: float = 0.2, floor_per_s: float = 10.0, window_s: float = 10.0
    ) -> None:
        fits = 0 <= share < math.inf and 0 <= floor_per_s < math.inf
        if not (fits and 0 < window_s < math.inf):
            raise InvalidInput(
                f"A retry budget of {share} of the calls, {floor_per_s} a second on "
                f"top, within {window_s} s, cannot be used.",
                "Share and floor must not be negative; the window must be above 0.",
            )
        self._share = share
        self._floor = floor_per_s * window_s
        self._slice_s = window_s / _SLICES
        self._slices: deque[_Slice] = deque()
        self._calls = self._retries = self._refused = 0

    def called(self, now: float, times: int = 1) -> None:
        """So many calls have begun (first attempts, not retries)."""
        self._calls += times
        self._slice(now).calls += times

    def take(self, now: float) -> bool:
        """Take one retry out of the budget; False if it is spent."""
        current = self._slice(now)
        calls = sum(part.calls for part in self._slices)
        retries = sum(part.retries for part in self._slices)
        if retries + 1 > self._share * calls + self._floor:
            self._refused += 1
            return False
        current.retries += 1
        self._retries += 1
        return True

    def stats(self) -> RetryBudgetStats:
        """Calls, retries and refused retries so far."""
        return RetryBudgetStats(self._calls, self._retries, self._refused)

    def _slice(self, now: float) -> _Slice:
        number = math.floor(now / self._slice_s)
        while self._slices and self._slices[0].number <= number - _SLICES:
            self._slices.popleft()
        if not self._slices or self._slices[-1].number < number:
            self._slices.append(_Slice(number))
        return self._slices[-1]
