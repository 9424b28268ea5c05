"""How long a hold lives: at most, at least, and what is told before and at its end."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.unit.locks.line import a_manager, membership, turns, until

from quorate.core.errors import InvalidInput, LockLostError, LockNotGranted
from quorate.core.events import ListenerFailed
from quorate.core.fence import current_fence
from quorate.locks.decorating import current_grant
from quorate.locks.door import config_of
from quorate.locks.events import LockEndangered
from quorate.locks.model import LockConfig, LockType
from quorate.settings.load import load_settings


def lose(line):
    line.session.lost(membership(line.session), "the server had ended it")


async def look_for_danger(manager):
    return await manager._open_desk()._danger.tick()


async def test_no_hold_lasts_longer_than_max_hold(line):
    config = LockConfig(max_hold_s=20.0)
    async with a_manager(line, config=config) as manager:
        for asked in (None, 5.0, 60.0):
            async with manager.acquire_lock("a", timeout_s=asked):
                pass

    assert [ask.hard_s for ask in line.asks.values()] == [20.0, 5.0, 20.0]


def test_the_settings_say_how_long_a_hold_lasts_and_when_circles_are_looked_for():
    said = {"MAX_HOLD_S": "20", "DEADLOCK_TIMEOUT_S": "3", "WARN_OF_ORDER": "true"}
    environ = {f"QUORATE_LOCKS__{name}": value for name, value in said.items()}

    config = config_of(load_settings(environ=environ))

    assert config.max_hold_s == 20.0
    assert config.deadlock_timeout_s == 3.0
    assert config.warn_of_order
    assert config_of(load_settings(environ={})).max_hold_s is None


def test_settings_of_a_life_that_make_no_sense_are_refused(line):
    with pytest.raises(InvalidInput, match="max_hold_s"):
        LockConfig(max_hold_s=0.0)
    manager = a_manager(line)
    with pytest.raises(InvalidInput, match="at_least_for_s"):
        manager.acquire_lock("a", at_least_for_s=-1.0)
    with pytest.raises(InvalidInput, match="on_loss"):
        manager.acquire_lock("a", on_loss="ignore")  # type: ignore[arg-type]


async def test_a_hold_that_is_not_renewed_is_told_of_once_before_it_is_lost(
    manager, line, clock, heard
):
    async with manager.acquire_lock("a", label="report", on_loss="flag") as grant:
        due_s = await look_for_danger(manager)
        assert 0 < due_s < grant.valid_for()
        assert not heard.all(LockEndangered)

        clock._move_to(clock.monotonic() + due_s)
        await look_for_danger(manager)
        await look_for_danger(manager)

        (event,) = heard.all(LockEndangered)
        assert (event.lock, event.label, event.token) == ("a", "report", grant.token)
        assert 2.9 < event.left_s <= 3.0


async def test_a_hold_that_is_renewed_again_may_come_into_danger_again(
    manager, line, clock, heard
):
    async with manager.acquire_lock("a", on_loss="flag"):
        for times in (1, 2):
            due_s = await look_for_danger(manager)
            clock._move_to(clock.monotonic() + due_s)
            await look_for_danger(manager)
            assert heard.count(LockEndangered) == times
            line.session.renewed(membership(line.session), clock.monotonic())
            await look_for_danger(manager)


async def test_a_hold_with_an_end_of_its_own_is_told_of_before_that(
    manager, clock, heard
):
    async with manager.acquire_lock("a", timeout_s=5.0, on_loss="flag") as grant:
        due_s = await look_for_danger(manager)
        clock._move_to(clock.monotonic() + due_s)
        await look_for_danger(manager)

        (event,) = heard.all(LockEndangered)
        assert event.left_s == pytest.approx(1.0, abs=0.01)
        assert not grant.is_lost


async def test_without_a_hold_the_watch_has_nothing_to_tell(
    manager, line, clock, heard
):
    async with manager.acquire_lock("a"):
        pass
    due_s = await look_for_danger(manager)
    clock._move_to(clock.monotonic() + due_s)

    await look_for_danger(manager)

    assert not heard.all(LockEndangered)


async def test_a_function_is_told_of_the_loss_and_the_block_runs_on(manager, line):
    told: list[str] = []
    go_on = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a", on_loss=told.append):
            await go_on.wait()

    task = asyncio.ensure_future(work())
    await until(lambda: bool(line.held))
    await turns()
    lose(line)
    await turns()

    assert told == ["the session ended"]
    assert not task.done()
    go_on.set()
    with pytest.raises(LockLostError):
        await task


async def test_a_listener_that_fails_keeps_nobody_from_hearing_of_a_loss(
    manager, line, heard
):
    def fails(why: str) -> None:
        raise KeyError(why)

    stopped = []

    async def work(name: str, on_loss) -> None:
        try:
            async with manager.acquire_lock(name, on_loss=on_loss):
                await asyncio.Event().wait()
        except LockLostError:
            stopped.append(name)

    first = asyncio.ensure_future(work("a", fails))
    second = asyncio.ensure_future(work("b", "cancel"))
    await until(lambda: len(line.held) == 2)
    await turns()
    lose(line)
    await second

    assert stopped == ["b"]
    assert (await heard(ListenerFailed)).heard == "lock.lost"
    first.cancel()
    await asyncio.wait({first})


async def test_a_lock_stays_taken_for_as_long_as_it_is_owed(manager, line, clock):
    async with manager.acquire_lock("a", at_least_for_s=10.0):
        pass
    assert line.held

    behind = asyncio.ensure_future(manager.acquire_lock("a").__aenter__())
    await clock.advance(9.0)
    assert not behind.done()
    with pytest.raises(LockNotGranted):
        async with manager.acquire_lock("a", wait_s=0):
            pass

    await clock.advance(1.1)
    await behind


async def test_a_longer_block_owes_nothing(manager, line, clock):
    async with manager.acquire_lock("a", at_least_for_s=10.0):
        await clock.advance(11.0)

    assert line.is_empty()


async def test_a_kept_lock_that_is_lost_lets_the_next_one_ask(manager, line):
    async with manager.acquire_lock("a", at_least_for_s=10.0):
        pass
    behind = asyncio.ensure_future(manager.acquire_lock("a").__aenter__())
    await turns()

    line.held.clear()
    lose(line)

    await behind
    assert line.asks["me:2"]


async def test_closing_gives_a_kept_lock_back(line):
    async with (
        a_manager(line) as manager,
        manager.acquire_lock("a", at_least_for_s=1000.0),
    ):
        pass

    assert line.is_empty()


async def test_a_plain_function_runs_in_a_thread_under_its_lock(manager, line):
    seen = []

    @manager.with_lock("user:{user_id}")
    def charge(user_id: str) -> str:
        fence, grant = current_fence(), current_grant()
        assert fence is not None
        assert grant is not None
        grant.check()
        seen.append((threading.current_thread(), fence.name, list(line.held)))
        return user_id

    assert await charge("42") == "42"

    thread, name, held = seen[0]
    assert thread is not threading.main_thread()
    assert (name, held) == ("user:42", ["user:42"])
    assert line.is_empty()
    assert current_grant() is None


async def test_a_thread_keeps_its_lock_though_its_caller_is_cancelled(manager, line):
    started, go_on = threading.Event(), threading.Event()

    @manager.with_lock("a")
    def work() -> None:
        started.set()
        go_on.wait(10)

    task = asyncio.ensure_future(work())
    await until(started.is_set)
    task.cancel()
    await turns()

    assert line.held
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.is_empty()


async def test_loss_is_a_flag_in_the_thread_and_an_error_at_its_end(manager, line):
    started, go_on = threading.Event(), threading.Event()
    seen = []

    @manager.with_lock("a")
    def work() -> None:
        started.set()
        go_on.wait(10)
        grant = current_grant()
        assert grant is not None
        seen.append(grant.is_lost)

    task = asyncio.ensure_future(work())
    await until(started.is_set)
    lose(line)
    await turns()
    assert not task.done()
    go_on.set()

    with pytest.raises(LockLostError):
        await task
    assert seen == [True]


async def test_a_function_is_skipped_where_its_lock_is_taken(manager, line):
    runs = []

    @manager.with_lock("{name}", skip=True)
    async def nightly(name: str) -> str:
        runs.append(name)
        return name

    line.seize("a")

    assert await nightly("a") is None
    assert await nightly("b") == "b"
    assert runs == ["b"]


async def test_what_a_function_is_denied_itself_is_not_skipped(manager, line):
    line.seize("inner")

    @manager.with_lock("outer", skip=True)
    async def work() -> None:
        async with manager.acquire_lock("inner", wait_s=0):
            pass

    with pytest.raises(LockNotGranted, match="inner"):
        await work()


async def test_a_function_may_enter_its_lock_again(manager, line):
    @manager.with_lock("a", LockType.REENTRANT)
    async def work(depth: int) -> int:
        return depth if depth == 3 else await work(depth + 1)

    assert await work(0) == 3
    assert line.count("acquire") == 1
