"""A clock that stands still until a test moves it.

Sleepers wake in the order in which they are due, each at its own time, and whatever
they then do happens before time goes on: a minute of timers runs in a millisecond, the
same way every time.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

TURNS = 10
"""How many turns of the event loop a woken task gets before time goes on."""


class ManualClock:
    """A `Clock` moved by hand. Both times begin at round numbers, far apart."""

    def __init__(
        self, *, now: float = 1_700_000_000.0, monotonic: float = 1_000.0
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, delay_s: float) -> None:
        """Wait until the clock was advanced by `delay_s`."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._monotonic + delay_s
        heapq.heappush(self._sleepers, (due, next(self._order), wake))
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    @property
    def next_due_s(self) -> float | None:
        """Seconds until the first sleeper is due; None if nobody sleeps."""
        waiting = [due for due, _, wake in self._sleepers if not wake.done()]
        return min(waiting) - self._monotonic if waiting else None

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass: both clocks move, sleepers that are due wake in order."""
        if seconds < 0:
            raise ValueError("time goes forward; use jump() for the wall clock")
        await settle()
        until = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, wake = heapq.heappop(self._sleepers)
            if wake.done():
                continue
            self._move_to(due)
            wake.set_result(None)
            await settle()
        self._move_to(until)
        await settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as somebody with root rights might."""
        self._now += seconds

    def _move_to(self, monotonic: float) -> None:
        passed = monotonic - self._monotonic
        if passed > 0:
            self._monotonic = monotonic
            self._now += passed


async def settle(turns: int = TURNS) -> None:
    """Let every task that can go on do so, for so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
