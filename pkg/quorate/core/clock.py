"""Time and chance, handed in at the top so that tests can hold them still.

Expiry is judged by the server's clock, waiting by the local monotonic clock; wall time
is only ever shown to people.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

Chance = random.Random
"""The source of chance that decisions take: jitter, sampling, tie-breaks."""


class Clock(Protocol):
    """Where time comes from. All in seconds."""

    def now(self) -> float:
        """Wall time since the epoch, for people to read."""
        ...

    def monotonic(self) -> float:
        """Never goes back, and counts while the machine sleeps."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait for `delay_s` seconds; zero gives other tasks a turn."""
        ...


def _monotonic_source() -> int:
    """CLOCK_BOOTTIME counts a suspended laptop, CLOCK_MONOTONIC does not."""
    return getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clock."""

    __slots__ = ("monotonic",)

    def __init__(self) -> None:
        # Not a method of ours: it is read several times in each step of a lock.
        self.monotonic: Callable[[], float] = partial(
            time.clock_gettime, _monotonic_source()
        )

    def now(self) -> float:
        return time.time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))


def fresh_chance() -> Chance:
    """Chance seeded by the system, for production use."""
    return random.SystemRandom()
