"""The machine's clock."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from quorate.core import clock as clock_module
from quorate.core.clock import SystemClock, fresh_chance


async def test_it_tells_wall_time_and_a_time_that_never_goes_back() -> None:
    clock = SystemClock()

    seen = [clock.monotonic() for _ in range(100)]

    assert seen == sorted(seen)
    assert abs(clock.now() - time.time()) < 1


async def test_sleeping_gives_others_a_turn_even_for_no_time_at_all() -> None:
    clock, order = SystemClock(), []

    async def other() -> None:
        order.append("other")

    task = asyncio.create_task(other())
    await clock.sleep(-1)
    order.append("me")
    await task

    assert order == ["other", "me"]


def test_it_counts_while_the_machine_sleeps_where_that_can_be_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert clock_module._monotonic_source() == time.CLOCK_BOOTTIME
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)

    assert clock_module._monotonic_source() == time.CLOCK_MONOTONIC


def test_chance_is_not_to_be_guessed() -> None:
    assert isinstance(fresh_chance(), random.SystemRandom)
