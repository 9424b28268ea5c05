"""Locks while much goes on: nothing of it reaches who only wants a lock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.servers import Server

from quorate.backend import Backend
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType

BUSY_S = 1.2
FORGETS_EVERY_S = 0.1
NO_PASSING = LockConfig(passing_s=0.0)


@pytest.fixture
async def managers(server: Server, namespace: str) -> AsyncIterator[list[LockManager]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for _ in range(3):
            backend = await stack.enter_async_context(
                Backend(server.url, namespace=namespace)
            )
            manager = LockManager.over(backend.wire, backend.session, NO_PASSING)
            found.append(await stack.enter_async_context(manager))
        yield found


async def test_a_server_that_forgets_its_scripts_all_the_time_is_not_noticed(
    server, managers
):
    is_over, inside, entered = asyncio.Event(), set(), 0

    async def works(manager: LockManager, number: int) -> None:
        nonlocal entered
        while not is_over.is_set():
            name = f"lock-{number % 2}"
            async with manager.acquire_lock(name):
                assert name not in inside
                inside.add(name)
                await asyncio.sleep(0)
                inside.discard(name)
                entered += 1
            async with manager.acquire_lock("page", LockType.SHARED):
                await asyncio.sleep(0)

    async def forgets() -> int:
        times, loop = 0, asyncio.get_running_loop()
        until = loop.time() + BUSY_S
        while loop.time() < until:
            await asyncio.to_thread(server.admin.script_flush)
            times += 1
            await asyncio.sleep(FORGETS_EVERY_S)
        is_over.set()
        return times

    tasks = [works(each, number) for each in managers for number in range(4)]
    times, *_ = await asyncio.gather(forgets(), *tasks)

    assert times >= 5
    assert entered > 20 * times
    assert not await managers[0].ls()
