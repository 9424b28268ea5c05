"""One timer for the limits of many.

Most attempts have the same limit and end long before it. So those with the same limit
stand in a line, in the order in which they began, and only the heads of the lines are
ever looked at: adding and leaving cost no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls `expired(item, limit_s)` for everything that is here longer than it may."""

    def __init__(self, expired: Callable[[T, float], None]) -> None:
        self._expired = expired
        self._lines: dict[float, dict[T, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, item: T, limit_s: float) -> float:
        """`item` may be here for `limit_s`. Returns when it must leave (loop time)."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        due = self._loop.time() + limit_s
        line = self._lines.get(limit_s)
        if line is None:
            line = self._lines[limit_s] = {}
        line[item] = due
        if self._timer is None or due < self._timer.when():
            self._arm(due)
        return due

    def drop(self, item: T, limit_s: float) -> None:
        """`item` has left in time."""
        line = self._lines.get(limit_s)
        if line is not None:
            line.pop(item, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lines.clear()

    def _arm(self, due: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        for limit_s, line in tuple(self._lines.items()):
            while line:
                item, due = next(iter(line.items()))
                if due > now:
                    break
                del line[item]
                self._expired(item, limit_s)
            if not line and self._lines.get(limit_s) is line:
                del self._lines[limit_s]
        heads = (next(iter(line.values())) for line in self._lines.values() if line)
        first = min(heads, default=None)
        if first is not None:
            self._arm(first)
