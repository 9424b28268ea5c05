"""Latches and barriers over every server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, until

from quorate.core.errors import InvalidInput, LockNotGranted


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


async def test_a_latch_opens_when_all_have_counted_down_once(ann, bob):
    waiting = asyncio.ensure_future(ann.locks.latch("ready", 2).wait())
    latch = bob.locks.latch("ready", 2)

    assert await latch.count_down("one") == 1
    assert await latch.count_down("one") == 1
    assert await ann.locks.latch("ready", 2).left() == 1
    assert not waiting.done()
    assert await latch.count_down("two") == 0

    await asyncio.wait_for(waiting, 1)
    await ann.locks.latch("ready", 2).wait(wait_s=1)


async def test_a_process_counts_itself_if_nobody_is_named(ann, bob):
    for process in (ann, ann, bob):
        await process.locks.latch("ready", 3).count_down()

    assert await ann.locks.latch("ready", 3).left() == 1


async def test_what_is_counted_stays_when_its_process_dies(ann, bob):
    async with bob.locks.acquire_lock("joins"):
        pass
    await bob.locks.latch("ready", 2).count_down()

    await bob.dies_on_the_server()

    assert await ann.locks.latch("ready", 2).left() == 1


async def test_a_wait_at_a_latch_is_over_in_time(ann):
    await ann.locks.latch("ready", 3).count_down()

    with pytest.raises(LockNotGranted, match="Not all came") as found:
        await ann.locks.latch("ready", 3).wait(wait_s=0.05)

    assert "2 of 3" in found.value.why


async def test_all_pass_a_barrier_together_generation_after_generation(place):
    processes = [await place.process() for _ in range(3)]
    arrived = 0
    passed: list[int] = []

    async def work(process: Process) -> None:
        nonlocal arrived
        barrier = process.locks.barrier("phase", 3)
        for generation in (1, 2, 3, 4, 5):
            arrived += 1
            assert await barrier.wait(wait_s=10) == generation
            assert arrived >= 3 * generation
            passed.append(generation)

    await asyncio.gather(*map(work, processes))

    assert passed == sorted(passed)


async def test_a_participant_counts_once_however_often_it_comes(ann, bob):
    barrier = ann.locks.barrier("phase", 2)
    first = asyncio.ensure_future(barrier.wait("one"))
    await until(lambda: waiting(ann, "phase", 1))

    with pytest.raises(LockNotGranted):
        await bob.locks.barrier("phase", 2).wait("one", wait_s=0.05)

    # The first attempt was replaced by the second, which has left.
    assert not first.done()
    second = asyncio.ensure_future(bob.locks.barrier("phase", 2).wait("two"))
    await until(lambda: waiting(ann, "phase", 1))
    first.cancel()
    assert await ann.locks.barrier("phase", 2).wait("one", wait_s=5) == 1
    assert await asyncio.wait_for(second, 5) == 1
    await asyncio.wait({first})


async def waiting(process: Process, name: str, count: int) -> bool:
    tag = process.backend.wire.keys.lock_tag(name)
    fields = await process.backend.wire.calls.command("HKEYS", f"{tag}:l:b:{name}")
    return sum(field.startswith(b"w:") for field in fields) == count


async def test_who_gives_up_does_not_count(ann, bob):
    with pytest.raises(LockNotGranted):
        await ann.locks.barrier("phase", 2).wait(wait_s=0.05)
    gone = asyncio.ensure_future(ann.locks.barrier("phase", 2).wait("gone"))
    await until(lambda: waiting(ann, "phase", 1))
    gone.cancel()
    await asyncio.wait({gone})

    with pytest.raises(LockNotGranted):
        await bob.locks.barrier("phase", 2).wait(wait_s=0.05)


async def test_who_dies_at_a_barrier_does_not_count(ann, bob):
    gone = asyncio.ensure_future(bob.locks.barrier("phase", 2).wait())
    await until(lambda: waiting(ann, "phase", 1))
    gone.cancel()
    # It dies before it can say that it leaves.
    tag = ann.backend.wire.keys.lock_tag("phase")
    await asyncio.wait({gone})
    async with bob.locks.acquire_lock("joins"):
        pass
    member = bob.backend.session.memberships()[0].name
    call = ann.backend.wire.calls.command
    await call("HSET", f"{tag}:l:b:phase", "w:bob", f"bob:1\n{member}")
    await bob.dies_on_the_server()

    with pytest.raises(LockNotGranted):
        await ann.locks.barrier("phase", 2).wait(wait_s=0.05)
    assert await waiting(ann, "phase", 0)


async def test_a_process_whose_session_was_lost_arrives_under_its_next(ann, bob):
    async with bob.locks.acquire_lock("joins"):
        pass
    await bob.dies_on_the_server()

    first = asyncio.ensure_future(bob.locks.barrier("phase", 2).wait())
    assert await ann.locks.barrier("phase", 2).wait(wait_s=5) == 1
    assert await asyncio.wait_for(first, 5) == 1


async def test_what_makes_no_sense_is_refused(ann):
    with pytest.raises(InvalidInput, match="count"):
        ann.locks.latch("ready", 0)
    with pytest.raises(InvalidInput, match="parties"):
        ann.locks.barrier("phase", True)
    with pytest.raises(InvalidInput, match="wait_s"):
        await ann.locks.latch("ready", 1).wait(wait_s=-1)
