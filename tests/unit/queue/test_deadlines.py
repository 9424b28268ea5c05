"""One timer for the limits of many."""

from __future__ import annotations

import asyncio

import pytest

from quorate.queue.deadlines import Deadlines


@pytest.fixture
def gone() -> list[tuple[str, float]]:
    return []


@pytest.fixture
def deadlines(gone):
    bell = asyncio.Event()

    def expired(item, limit_s):
        gone.append((item, limit_s))
        bell.set()

    deadlines = Deadlines(expired)
    deadlines.bell = bell
    yield deadlines
    deadlines.close()


async def test_what_stays_too_long_is_told_in_the_order_of_its_limits(deadlines, gone):
    deadlines.add("late", 0.03)
    deadlines.add("early", 0.01)
    deadlines.add("early too", 0.01)

    async with asyncio.timeout(2):
        while len(gone) < 3:
            deadlines.bell.clear()
            await deadlines.bell.wait()

    assert gone == [("early", 0.01), ("early too", 0.01), ("late", 0.03)]


async def test_who_leaves_in_time_is_not_told_of(deadlines, gone):
    deadlines.add("a", 0.01)
    deadlines.add("b", 0.02)
    deadlines.drop("a", 0.01)
    deadlines.drop("never there", 9.0)

    async with asyncio.timeout(2):
        await deadlines.bell.wait()

    assert gone == [("b", 0.02)]


async def test_one_timer_serves_all(deadlines):
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)

    for number in range(1000):
        deadlines.add(number, 100.0)

    assert len(loop._scheduled) == before + 1
    assert deadlines.add("x", 100.0) == pytest.approx(loop.time() + 100, abs=1)


async def test_closing_tells_nobody(deadlines, gone):
    deadlines.add("a", 0.0)
    deadlines.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert gone == []
