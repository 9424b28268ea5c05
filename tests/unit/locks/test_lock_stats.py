"""What is counted of locks, by the template of their names and never by the name."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.locks.line import turns

from quorate.core.errors import LockLostError, LockNotGranted
from quorate.locks.tally import MOST_TEMPLATES, OTHERS


async def test_a_function_under_a_lock_is_counted_by_its_template(manager, clock):
    @manager.with_lock("user:{user_id}")
    async def charge(user_id: int) -> None:
        await clock.advance(user_id / 10)

    for user_id in (1, 2, 3):
        await charge(user_id)
    async with manager.acquire_lock("user:4"):
        pass

    rows = manager.stats().by_template
    assert rows["user:{user_id}"].acquired_total == 3
    assert rows["user:{user_id}"].hold_s.counts[0] == 0
    assert rows["user:{user_id}"].hold_s.total == pytest.approx(0.6)
    assert rows["(block)"].acquired_total == 1
    assert set(rows) == {"user:{user_id}", "(block)"}


async def test_waits_contention_and_refusals_are_counted(manager, clock):
    async def waits() -> None:
        async with manager.acquire_lock("a"):
            pass

    async with manager.acquire_lock("a"):
        waiting = asyncio.ensure_future(waits())
        await turns()
        assert manager.stats().waiting == 1
        with pytest.raises(LockNotGranted):
            async with manager.acquire_lock("a", wait_s=0, owner="else"):
                pass
        await clock.advance(2.0)
    await waiting

    stats = manager.stats()
    assert stats.acquired_total == 2
    assert stats.contended_total == 1
    assert stats.denied_total == 1
    assert stats.wait_s_total == pytest.approx(2.0)
    assert stats.hold_s_total == pytest.approx(2.0)
    assert stats.waiting == stats.held == 0
    row = stats.by_template["(block)"]
    assert (row.contended_total, row.denied_total) == (1, 1)
    assert row.wait_s.counts[0] == 1  # who did not wait


async def test_a_lost_lock_is_counted(manager):
    with pytest.raises(LockLostError):
        async with manager.acquire_lock("a"):
            (hold,) = manager._open_desk().holdings.all()
            manager._open_desk().lose(hold, "the server ended it", is_claimed=False)
            await asyncio.sleep(1)

    assert manager.stats().lost_total == 1
    assert manager.stats().by_template["(block)"].lost_total == 1


async def test_templates_beyond_the_limit_share_a_row(manager):
    for number in range(MOST_TEMPLATES + 5):

        @manager.with_lock(f"job-{number}")
        async def work() -> None:
            return None

        await work()

    rows = manager.stats().by_template
    assert len(rows) == MOST_TEMPLATES + 1
    assert rows[OTHERS].acquired_total == 5
    assert manager.stats().acquired_total == MOST_TEMPLATES + 5
