"""A clock that moves only when somebody sleeps on it or moves it."""

from __future__ import annotations

import pytest


class ManualClock:
    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.time += delay_s


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
