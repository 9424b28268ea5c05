"""The block of a lock: what it gives, how it ends, and what loss does to it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.unit.locks.line import TAG, a_manager, membership, turns

from quorate.core.errors import DeadlockError, InvalidInput, InvalidName, LockLostError
from quorate.core.fence import current_fence
from quorate.locks.events import LockLost
from quorate.locks.model import LockConfig, LockType


def lose(line, why="the server had ended it"):
    line.session.lost(membership(line.session), why)


async def test_the_grant_can_be_trusted_inside_and_not_after(manager, line, clock):
    async with manager.acquire_lock("a", label="me") as grant:
        assert line.held == {"a": "me:1"}
        assert grant.token == 1001
        assert 13.0 < grant.valid_for() < 15.0
        grant.check()
        assert not grant.is_lost

    assert grant.is_lost
    with pytest.raises(LockLostError, match="given back"):
        grant.check()
    assert line.is_empty()


async def test_the_fence_of_the_grant_is_current_inside_only(manager, line):
    async with manager.acquire_lock("a") as grant:
        fence = current_fence()
        assert fence == grant.fence
        assert fence is not None
        assert (fence.name, fence.token, fence.tag) == ("a", grant.token, TAG)
        assert fence.session == line.session.name_in(TAG)

    assert current_fence() is None


async def test_an_error_of_the_block_comes_through_and_the_lock_goes_back(
    manager, line
):
    with pytest.raises(KeyError):
        async with manager.acquire_lock("a"):
            raise KeyError("mine")

    assert line.is_empty()


async def test_loss_stops_the_block_and_comes_out_as_its_error(manager, line, heard):
    entered = asyncio.Event()
    seen = []

    async def work() -> None:
        try:
            async with manager.acquire_lock("a", label="report"):
                entered.set()
                await asyncio.Event().wait()
        except LockLostError as error:
            seen.append(error)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        seen.append("went on")

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)
    await task

    error, went_on = seen
    assert went_on == "went on"
    assert "the session ended" in error.why
    lost = await heard(LockLost, lock="a", label="report")
    assert lost.token == 1001
    assert manager.stats().lost_total == 1


async def test_a_cancellation_from_outside_stays_one(manager, line):
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert line.is_empty()


async def test_a_cancellation_from_outside_together_with_a_loss_stays_one(
    manager, line
):
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_after_a_loss_wins_and_has_a_note(manager, line):
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"):
            try:
                entered.set()
                await asyncio.Event().wait()
            finally:
                raise ValueError("while tidying up")

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)

    with pytest.raises(ValueError, match="tidying") as found:
        await task
    assert "was lost meanwhile" in found.value.__notes__[0]


async def test_a_block_that_swallows_its_cancellation_hears_of_it_at_the_end(
    manager, line
):
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"):
            entered.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)

    with pytest.raises(LockLostError):
        await task


async def test_a_block_that_only_wants_to_be_told_runs_on(manager, line):
    entered, go_on = asyncio.Event(), asyncio.Event()
    told, checked = [], []

    async def work() -> None:
        async with manager.acquire_lock("a", on_loss="flag") as grant:
            grant.on_lost(told.append)
            entered.set()
            await go_on.wait()
            with pytest.raises(LockLostError):
                grant.check()
            checked.append(grant.valid_for())

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)
    await turns()
    assert not task.done()
    go_on.set()

    with pytest.raises(LockLostError):
        await task
    assert checked == [0.0]
    assert told == ["the session ended"]


async def test_a_block_that_never_waits_learns_of_its_loss_at_the_end(
    manager, line, clock
):
    with pytest.raises(LockLostError, match="lost"):
        async with manager.acquire_lock("a") as grant:
            clock._move_to(clock.monotonic() + 60.0)  # the loop stands still
            assert grant.is_lost

    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_loss_heard_in_the_blocks_own_step_does_not_strike_later_code(
    manager, line
):
    with pytest.raises(LockLostError):
        async with manager.acquire_lock("a"):
            lose(line)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_loss_in_the_blocks_own_step_that_is_then_cancelled_is_a_cancellation(
    manager, line
):
    async def work() -> None:
        async with manager.acquire_lock("a"):
            lose(line)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(work())


async def test_nested_blocks_of_one_lock_are_stopped_as_one(manager, line):
    entered = asyncio.Event()
    came_out = []

    async def work() -> None:
        try:
            async with manager.acquire_lock("a", LockType.REENTRANT):
                try:
                    async with manager.acquire_lock("a", LockType.REENTRANT):
                        entered.set()
                        await asyncio.Event().wait()
                except BaseException as error:
                    came_out.append(type(error))
                    raise
        except LockLostError:
            came_out.append(LockLostError)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)
    await task

    assert came_out == [asyncio.CancelledError, LockLostError]


async def test_a_lost_lock_stops_the_block_around_another_lock_only_once(manager, line):
    """Both locks hang on one session; the outer block converts, as timeouts do."""
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"), manager.acquire_lock("b"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await entered.wait()
    lose(line)

    with pytest.raises(LockLostError, match="'a'"):
        await task
    assert manager.stats().lost_total == 2


async def test_entering_again_costs_nothing_and_counts(manager, line):
    async with manager.acquire_lock("a", LockType.REENTRANT) as outer:
        async with manager.acquire_lock("a", LockType.REENTRANT) as inner:
            assert inner.token == outer.token
        outer.check()
        assert line.held
    assert line.calls == [("acquire", "me:1"), ("leave", "me:1")]
    assert manager.stats().reentered_total == 1


async def test_an_exclusive_lock_may_be_entered_again_as_reentrant(manager, line):
    async with (
        manager.acquire_lock("a"),
        manager.acquire_lock("a", LockType.REENTRANT),
    ):
        assert len(line.held) == 1


async def test_asking_again_for_an_exclusive_lock_would_never_end_and_is_refused(
    manager, line
):
    async with manager.acquire_lock("a", LockType.REENTRANT):
        for kind in (LockType.EXCLUSIVE, LockType.SHARED):
            with pytest.raises(DeadlockError, match="wait for itself"):
                await manager.acquire_lock("a", kind).__aenter__()

    assert line.is_empty()


async def test_entering_again_what_is_lost_is_refused(manager, line):
    with pytest.raises(LockLostError):
        async with manager.acquire_lock("a", LockType.REENTRANT, on_loss="flag"):
            lose(line)
            with pytest.raises(LockLostError):
                await manager.acquire_lock("a", LockType.REENTRANT).__aenter__()

    assert manager.stats().reentered_total == 0


async def test_another_task_is_another_owner_unless_it_is_named(manager, line):
    order = []

    async def other(owner: str) -> None:
        async with manager.acquire_lock("a", LockType.REENTRANT, owner=owner):
            order.append(owner)

    async with manager.acquire_lock("a", owner="pipeline"):
        stranger = asyncio.ensure_future(other("somebody else"))
        await asyncio.ensure_future(other("pipeline"))
        order.append("leaves")
    await stranger

    assert order == ["pipeline", "leaves", "somebody else"]


async def test_a_block_is_used_once(manager):
    block = manager.acquire_lock("a")
    async with block:
        pass

    with pytest.raises(RuntimeError, match="used once"):
        await block.__aenter__()


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("", {}, InvalidName),
        ("a\nb", {}, InvalidName),
        (7, {}, InvalidName),
        ("x" * 256, {}, InvalidName),
        ("a", {"lock_type": "exclusive"}, InvalidInput),
        ("a", {"wait_s": -1}, InvalidInput),
        ("a", {"wait_s": float("nan")}, InvalidInput),
        ("a", {"wait_s": True}, InvalidInput),
        ("a", {"timeout_s": 0}, InvalidInput),
        ("a", {"timeout_s": float("inf")}, InvalidInput),
        ("a", {"timeout_s": "5"}, InvalidInput),
        ("a", {"on_loss": "ignore"}, InvalidInput),
        ("a", {"label": "two\nlines"}, InvalidName),
        ("a", {"owner": "\x00"}, InvalidName),
    ],
)
async def test_bad_input_is_refused_before_anything_is_done(
    manager, line, name, options, kind
):
    with pytest.raises(kind):
        manager.acquire_lock(name, **options)

    assert line.calls == []


async def test_what_a_timeout_has_ended_is_given_back_when_its_block_is_out(
    manager, line
):
    with pytest.raises(LockLostError, match="lost"):
        async with manager.acquire_lock("a", timeout_s=0.15):
            try:
                await asyncio.Event().wait()
            finally:
                assert line.held

    assert line.is_empty()
    assert line.count("leave") == 1


async def test_without_extension_every_hold_has_an_end(line):
    config = LockConfig(default_timeout=0.2, auto_extend=False)
    async with a_manager(line, config=config) as manager:
        with pytest.raises(LockLostError):
            async with manager.acquire_lock("a"):
                assert line.asks["me:1"].hard_s == 0.2
                await asyncio.Event().wait()


async def test_closing_the_manager_stops_blocks_and_waiters_and_gives_back(line, heard):
    manager = a_manager(line, emit=heard.emit)
    await manager.start()
    line.seize("b")
    entered = asyncio.Event()

    async def holds() -> None:
        async with manager.acquire_lock("a"):
            entered.set()
            await asyncio.Event().wait()

    async def waits(name: str) -> None:
        async with manager.acquire_lock(name):
            pass

    tasks = [asyncio.ensure_future(work) for work in (holds(), waits("a"), waits("b"))]
    await entered.wait()
    await turns()
    await manager.stop()
    await manager.stop()

    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error).__name__ for error in ended] == [
        "LockLostError",
        "SessionLostError",
        "SessionLostError",
    ]
    assert line.held == {"b": "else"}
    assert not any(line.lines.values())


async def test_a_closed_manager_grants_nothing(line):
    manager = a_manager(line)
    with pytest.raises(RuntimeError, match="not open"):
        manager.acquire_lock("a")
    async with manager:
        pass

    with pytest.raises(Exception, match="closed"):
        async with manager.acquire_lock("a"):
            pass


async def test_nobody_is_told_of_a_loss_after_the_block(manager):
    """The hold may be that of the next task by now."""
    async with manager.acquire_lock("a") as grant:
        pass

    with pytest.raises(LockLostError, match="given back"):
        grant.on_lost(print)
