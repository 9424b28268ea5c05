"""Locks without a node: `get_lock_manager` brings all that they need."""

from __future__ import annotations

import asyncio

import pytest
from tests.ports import free_port

from quorate.core.errors import InvalidUrl, LockLostError, StoreUnavailable
from quorate.lease.events import SessionEnded
from quorate.locks import LockConfig, LockType, get_lock_manager


async def test_the_owners_example_works(redis_url, namespace):
    lock_manager = await get_lock_manager(redis_url, namespace=namespace)
    updated = []

    async with lock_manager.acquire_lock("resource:123", LockType.EXCLUSIVE):
        updated.append("status")

    @lock_manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
    async def process_user_request(user_id: str) -> str:
        updated.append(user_id)
        return lock_manager.holders()[0].name

    assert await process_user_request("42") == "user:42"
    assert updated == ["status", "42"]
    await lock_manager.close()
    await lock_manager.close()


async def test_closing_gives_up_the_session_and_what_hangs_on_it(
    redis_url, namespace, heard
):
    first = await get_lock_manager(
        redis_url, LockConfig(), emit=heard.emit, namespace=namespace
    )
    entered = asyncio.Event()

    async def holds() -> None:
        async with first.acquire_lock("a"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(holds())
    await entered.wait()
    async with await get_lock_manager(redis_url, namespace=namespace) as second:
        await first.close()

        with pytest.raises(LockLostError):
            await task
        await heard(SessionEnded)
        async with second.acquire_lock("a", wait_s=0):
            pass


async def test_an_address_that_cannot_be_used_is_refused():
    with pytest.raises(InvalidUrl):
        await get_lock_manager("http://localhost")


async def test_a_server_that_is_not_there_leaves_nothing_running():
    port = free_port()
    before = len(asyncio.all_tasks())

    with pytest.raises(StoreUnavailable):
        await get_lock_manager(f"redis://127.0.0.1:{port}")

    assert len(asyncio.all_tasks()) == before
