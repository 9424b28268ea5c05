"""Time stands still until it is moved, and then everything happens in its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.core.lifecycle import Tasks
from quorate.testing.clock import ManualClock


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


async def test_nobody_wakes_before_the_clock_is_moved(
    clock: ManualClock, tasks: Tasks
) -> None:
    sleeper = tasks.spawn(clock.sleep(5), "sleeper")

    await clock.advance(4.999)

    assert not sleeper.done()
    assert clock.sleepers == 1
    assert clock.next_due_s == pytest.approx(0.001)


async def test_sleepers_wake_in_order_each_at_its_own_time(
    clock: ManualClock, tasks: Tasks
) -> None:
    woken: list[tuple[str, float]] = []
    began = clock.monotonic()

    async def nap(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append((name, clock.monotonic() - began))

    for name, delay_s in (("late", 30.0), ("early", 1.0), ("middle", 2.5)):
        tasks.spawn(nap(name, delay_s), name)
    await clock.advance(60)

    assert woken == [("early", 1.0), ("middle", 2.5), ("late", 30.0)]
    assert clock.monotonic() - began == 60
    assert clock.next_due_s is None


async def test_who_sleeps_again_is_woken_again_within_one_advance(
    clock: ManualClock, tasks: Tasks
) -> None:
    beats: list[float] = []

    async def beat() -> None:
        for _ in range(5):
            await clock.sleep(10)
            beats.append(clock.monotonic())

    tasks.spawn(beat(), "beat")
    await clock.advance(45)

    assert beats == [1010, 1020, 1030, 1040]


async def test_a_cancelled_sleeper_does_not_stop_the_clock(
    clock: ManualClock, tasks: Tasks
) -> None:
    sleeper = tasks.spawn(clock.sleep(1), "sleeper")
    other = tasks.spawn(clock.sleep(2), "other")
    await clock.advance(0)

    sleeper.cancel()
    await clock.advance(3)

    assert other.done()
    assert clock.sleepers == 0


async def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(
    clock: ManualClock,
) -> None:
    wall, monotonic = clock.now(), clock.monotonic()

    clock.jump(-3600)
    await clock.advance(1)

    assert clock.now() == wall - 3599
    assert clock.monotonic() == monotonic + 1


async def test_sleeping_for_nothing_gives_others_a_turn(
    clock: ManualClock, tasks: Tasks
) -> None:
    other = tasks.spawn(asyncio.sleep(0), "other")

    await clock.sleep(0)
    await clock.sleep(-1)

    assert other.done()


async def test_time_does_not_go_back(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="forward"):
        await clock.advance(-1)
