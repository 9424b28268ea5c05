"""Upgrading and downgrading while the block runs, between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, in_line, until

from quorate.core.errors import DeadlockError, InvalidInput, LockNotGranted
from quorate.core.fence import current_fence
from quorate.locks.model import LockConfig, LockType

SHARED = LockType.SHARED


@pytest.fixture
async def place(redis_url: str, namespace: str) -> AsyncIterator[Place]:
    place = Place(redis_url, namespace)
    yield place
    await place.close()


@pytest.fixture
async def ann(place: Place) -> Process:
    return await place.process()


@pytest.fixture
async def bob(place: Place) -> Process:
    return await place.process()


async def is_upgrading(process: Process, name: str) -> bool:
    tag = process.backend.wire.keys.lock_tag(name)
    call = process.backend.wire.calls.command
    return bool(await call("HEXISTS", f"{tag}:l:h:{name}", "u"))


async def test_a_reader_alone_is_upgraded_by_one_request_and_its_token_grows(ann):
    name, warm_up = ann.names_of_one_tag("a", "warm-up")
    async with ann.locks.acquire_lock(warm_up, SHARED) as grant:
        await grant.upgrade()
    async with ann.locks.acquire_lock(name, SHARED) as grant:
        shared, before = grant.token, ann.requests

        await grant.upgrade()
        assert ann.requests - before == 1
        await grant.upgrade()
        assert ann.requests - before == 1

        assert grant.token > shared
        assert grant.lock_type is LockType.EXCLUSIVE
        fence = current_fence()
        assert fence is not None
        assert fence.token == grant.token
        before = ann.requests

    assert ann.requests - before == 1
    assert not await ann.locks.ls()


async def test_an_upgrade_that_is_cancelled_leaves_a_reader(ann, bob):
    async with (
        bob.locks.acquire_lock("a", SHARED),
        ann.locks.acquire_lock("a", SHARED) as grant,
    ):
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: is_upgrading(ann, "a"))
        assert not upgrading.done()
        upgrading.cancel()
        await asyncio.wait({upgrading})

        assert not await is_upgrading(ann, "a")
        grant.check()


async def test_an_upgrade_is_served_when_the_last_other_reader_leaves(ann, bob):
    block = bob.locks.acquire_lock("a", SHARED)
    await block.__aenter__()
    async with ann.locks.acquire_lock("a", SHARED) as grant:
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: is_upgrading(ann, "a"))

        await block.__aexit__(None, None, None)

        await asyncio.wait_for(upgrading, 1)
        assert grant.lock_type is LockType.EXCLUSIVE
        (holder,) = (await bob.locks.explain("a")).holders
        assert holder.token == grant.token


async def test_of_two_upgraders_exactly_one_is_refused_and_the_other_served(ann, bob):
    inside = asyncio.Barrier(2)
    refused: list[DeadlockError] = []
    tokens: list[int] = []

    async def work(process: Process) -> None:
        async with process.locks.acquire_lock("a", SHARED) as grant:
            await inside.wait()
            try:
                await grant.upgrade(wait_s=5)
            except DeadlockError as error:
                refused.append(error)
                return
            tokens.append(grant.token)

    async with asyncio.timeout(5):
        await asyncio.gather(work(ann), work(bob))

    assert len(refused) == 1
    assert len(tokens) == 1


async def test_of_two_upgraders_in_one_process_too(ann):
    await test_of_two_upgraders_exactly_one_is_refused_and_the_other_served(ann, ann)


@pytest.mark.parametrize("wait_s", [0, 0.05])
async def test_an_upgrade_in_vain_leaves_a_reader(ann, bob, wait_s):
    async with (
        bob.locks.acquire_lock("a", SHARED),
        ann.locks.acquire_lock("a", SHARED) as grant,
    ):
        with pytest.raises(LockNotGranted, match="upgraded"):
            await grant.upgrade(wait_s=wait_s)

        assert grant.lock_type is SHARED
        grant.check()
        assert not await is_upgrading(ann, "a")


async def test_a_writer_becomes_a_reader_and_nobody_writes_in_between(place, bob):
    # The local writer stands behind, and takes no place in the server's line.
    ann = await place.process(config=LockConfig(passing_s=60.0))
    entered: list[str] = []

    async def reads() -> None:
        async with bob.locks.acquire_lock("a", SHARED):
            entered.append("reader")

    async def writes(process: Process) -> None:
        async with process.locks.acquire_lock("a"):
            entered.append("writer")

    _, warm_up = ann.names_of_one_tag("a", "warm-up")
    async with ann.locks.acquire_lock(warm_up) as grant:
        await grant.downgrade()
    async with ann.locks.acquire_lock("a") as grant:
        writing = asyncio.ensure_future(writes(bob))
        await in_line(bob, "a", 1)
        local = asyncio.ensure_future(writes(ann))
        reading = asyncio.ensure_future(reads())
        await in_line(bob, "a", 2)
        before = ann.requests

        await grant.downgrade()

        await asyncio.wait_for(reading, 5)
        assert ann.requests - before == 1
        assert entered == ["reader"]
        assert grant.lock_type is SHARED
        grant.check()

    await asyncio.wait_for(asyncio.gather(writing, local), 5)
    assert entered == ["reader", "writer", "writer"]
    assert not await ann.locks.ls()


async def test_a_reader_again_may_be_upgraded_again(ann):
    async with ann.locks.acquire_lock("a") as grant:
        tokens = [grant.token]
        for _ in range(3):
            await grant.downgrade()
            tokens.append(grant.token)
            await grant.upgrade()
            tokens.append(grant.token)

    assert tokens == sorted(tokens)
    assert not await ann.locks.ls()


async def test_an_inner_block_does_not_take_the_outer_ones_writer_away(ann):
    async with (
        ann.locks.acquire_lock("a", LockType.REENTRANT),
        ann.locks.acquire_lock("a", LockType.REENTRANT) as inner,
    ):
        with pytest.raises(InvalidInput, match="entered it 2 times"):
            await inner.downgrade()


async def test_a_reader_that_dies_lets_the_upgrade_go_on(ann, bob):
    stay = bob.locks.acquire_lock("a", SHARED, on_loss="flag")
    staying = asyncio.ensure_future(stays(stay))
    await until(lambda: bool(bob.locks.holders()))
    async with ann.locks.acquire_lock("a", SHARED) as grant:
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: is_upgrading(ann, "a"))

        await bob.dies_on_the_server()

        await asyncio.wait_for(upgrading, 5)
        assert grant.lock_type is LockType.EXCLUSIVE
    staying.cancel()
    await asyncio.wait({staying})


async def stays(block) -> None:
    async with block:
        await asyncio.Event().wait()
