"""The grant under which the running code acts."""

from __future__ import annotations

import asyncio

from quorate.core.fence import Fence, current_fence, enter_fence, leave_fence

OUTER = Fence("outer", 1, "s.1", "{t}")
INNER = Fence("inner", 2, "s.1", "{t}")


def test_outside_of_every_lock_there_is_none():
    assert current_fence() is None


def test_the_innermost_counts_and_the_outer_one_comes_back():
    before = enter_fence(OUTER)
    between = enter_fence(INNER)

    assert current_fence() == INNER
    leave_fence(between)
    assert current_fence() == OUTER
    leave_fence(before)
    assert current_fence() is None


async def test_a_task_that_is_started_inside_acts_under_the_same_grant():
    before = enter_fence(OUTER)

    async def child() -> Fence | None:
        await asyncio.sleep(0)
        return current_fence()

    started = asyncio.ensure_future(child())
    leave_fence(before)

    assert await started == OUTER
    assert current_fence() is None
