"""The decorator: a whole function under a lock that its arguments name."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from tests.unit.locks.line import a_manager

from quorate.core.errors import InvalidInput, InvalidName, LockNotGranted
from quorate.core.fence import current_fence
from quorate.locks.model import LockType


async def test_the_lock_is_named_by_the_arguments(manager, line):
    @manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
    async def process(user_id: str, *, times: int = 1) -> str:
        """Process a request."""
        fence = current_fence()
        assert fence is not None
        return f"{fence.name} {list(line.held)} {times}"

    assert await process("42") == "user:42 ['user:42'] 1"
    assert await process(user_id="7", times=3) == "user:7 ['user:7'] 3"
    assert line.is_empty()
    assert line.asks["me:1"].label == "user:{user_id}"


async def test_the_function_keeps_its_name_text_and_signature(manager):
    async def process(user_id: str) -> str:
        """Process a request."""
        return user_id

    locked = manager.with_lock("{user_id}")(process)

    assert locked.__name__ == "process"
    assert locked.__doc__ == "Process a request."
    assert inspect.signature(locked) == inspect.signature(process)
    assert inspect.iscoroutinefunction(locked)


async def test_calls_for_the_same_name_take_turns_and_others_do_not_wait(manager):
    inside: list[str] = []
    most = 0

    @manager.with_lock("{who}")
    async def work(who: str) -> None:
        nonlocal most
        assert who not in inside
        inside.append(who)
        most = max(most, len(inside))
        await asyncio.sleep(0)
        inside.remove(who)

    await asyncio.gather(*(work(who) for who in "ababab"))

    assert most == 2


async def test_an_error_of_the_function_comes_through(manager, line):
    @manager.with_lock("a")
    async def fails() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await fails()
    assert line.is_empty()


async def test_the_terms_of_the_lock_are_the_decorators(manager, line):
    line.seize("a")

    @manager.with_lock("a", wait_s=0, label="nightly")
    async def work() -> None: ...

    with pytest.raises(LockNotGranted):
        await work()
    assert line.asks["me:1"].label == "nightly"
    assert not line.asks["me:1"].wait


def test_faults_are_found_when_the_function_is_decorated(line):
    manager = a_manager(line)

    async def process(user_id: str) -> None: ...

    def generator(user_id: str):
        yield user_id

    with pytest.raises(InvalidName, match="user_id"):
        manager.with_lock("user:{id}")(process)
    with pytest.raises(InvalidInput, match="generator"):
        manager.with_lock("user:{user_id}")(generator)
    with pytest.raises(InvalidInput, match="kind of lock"):
        manager.with_lock("a", "exclusive")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="timeout_s"):
        manager.with_lock("a", timeout_s=-1)


async def test_a_manager_that_is_not_open_refuses_the_call(line):
    manager = a_manager(line)

    @manager.with_lock("a")
    async def work() -> None: ...

    with pytest.raises(RuntimeError, match="not open"):
        await work()
    async with manager:
        await work()


async def test_a_plain_function_that_stops_an_iteration_gives_the_lock_back(
    manager, line
):
    """No future can carry a StopIteration: the caller would wait for ever, inside."""

    @manager.with_lock("{who}")
    def first_of(who: str) -> str:
        return next(iter(()))

    async with asyncio.timeout(2):
        with pytest.raises(RuntimeError, match="first_of raised StopIteration"):
            await first_of("ann")

    assert line.is_empty()


async def test_an_async_function_cannot_be_told_of_a_loss(manager):
    async def tell(reason: str) -> None:
        """It would be called, and never run."""

    with pytest.raises(InvalidInput, match="on_loss"):
        manager.acquire_lock("a", on_loss=tell)
    async with manager.acquire_lock("a") as grant:
        with pytest.raises(InvalidInput, match="on_lost"):
            grant.on_lost(tell)
