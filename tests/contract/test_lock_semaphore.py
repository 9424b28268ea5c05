"""Semaphores over every server: permits, turns, and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, until

from quorate.core.errors import (
    InvalidInput,
    InvalidName,
    LockLostError,
    LockNotGranted,
)
from quorate.core.fence import current_fence
from quorate.locks.lock import LockBlock


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


class Stay:
    """A task that keeps permits until it is told to leave."""

    def __init__(self, block: LockBlock) -> None:
        self.inside, self._leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._work(block))

    async def _work(self, block: LockBlock) -> None:
        async with block:
            self.inside.set()
            await self._leave.wait()

    async def entered(self, within_s: float = 5.0) -> Stay:
        async with asyncio.timeout(within_s):
            await self.inside.wait()
        return self

    async def leaves(self) -> None:
        self._leave.set()
        await self.task


async def waits(process: Process, name: str, count: int) -> None:
    async def is_so() -> bool:
        found = await process.locks.semaphore(name, 1).explain()
        return len(found.waiters) == count

    await until(is_so)


async def test_permits_are_one_request_to_take_and_one_to_give_back(ann):
    exports = ann.locks.semaphore("exports", permits=2)
    async with exports.acquire():
        pass
    before = ann.requests

    async with exports.acquire() as grant:
        assert ann.requests - before == 1
        grant.check()
        assert grant.name == "exports"
        assert current_fence() is None

    assert ann.requests - before == 2
    assert not await ann.locks.ls()


async def test_never_more_are_inside_than_there_are_permits(place):
    processes = [await place.process() for _ in range(3)]
    inside = most = 0

    async def work(process: Process) -> None:
        nonlocal inside, most
        for _ in range(4):
            async with process.locks.semaphore("a", 3).acquire():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

    async with asyncio.timeout(20):
        await asyncio.gather(*(work(p) for p in processes for _ in range(4)))

    assert most == 3
    assert not await processes[0].locks.ls()


async def test_who_wants_many_is_not_overtaken(ann, bob):
    small = await Stay(ann.locks.semaphore("a", 4).acquire(2)).entered()
    heavy = Stay(bob.locks.semaphore("a", 4).acquire(3))
    await waits(ann, "a", 1)
    light = Stay(ann.locks.semaphore("a", 4).acquire(1))
    await waits(ann, "a", 2)
    assert not light.inside.is_set()

    await small.leaves()

    await heavy.entered()
    await light.entered()
    await heavy.leaves()
    await light.leaves()


async def test_who_gives_up_in_front_lets_those_behind_in(ann, bob):
    first = await Stay(ann.locks.semaphore("a", 4).acquire(2)).entered()
    heavy = Stay(bob.locks.semaphore("a", 4).acquire(4))
    await waits(ann, "a", 1)
    light = Stay(ann.locks.semaphore("a", 4).acquire(2))
    await waits(ann, "a", 2)

    heavy.task.cancel()

    await light.entered()
    await first.leaves()
    await light.leaves()
    await asyncio.wait({heavy.task})
    await until(lambda: is_free(ann, "a"))


async def is_free(process: Process, name: str) -> bool:
    return (await process.locks.semaphore(name, 1).explain()).is_free


async def test_one_task_may_hold_several(ann):
    exports = ann.locks.semaphore("a", 3)

    async with exports.acquire(), exports.acquire(2):
        with pytest.raises(LockNotGranted, match="'a' was not granted"):
            async with exports.acquire(wait_s=0):
                pass
        found = await exports.explain()
        assert len(found.holders) == 2
        (line,) = await ann.locks.ls()
        assert (line.name, line.kind, len(line.holders)) == ("a", "semaphore", 2)


async def test_a_semaphore_and_a_lock_of_one_name_have_nothing_in_common(ann):
    async with ann.locks.semaphore("a", 1).acquire(), ann.locks.acquire_lock("a"):
        assert len(await ann.locks.ls()) == 2


async def test_permits_of_a_dead_process_are_free_again(ann, bob):
    lost = Stay(bob.locks.semaphore("a", 2).acquire(2))
    await lost.entered()
    waiting = Stay(ann.locks.semaphore("a", 2).acquire(1))
    await waits(ann, "a", 1)

    await bob.dies_on_the_server()

    await waiting.entered()
    with pytest.raises(LockLostError):
        await asyncio.wait_for(lost.task, 5)
    await waiting.leaves()
    async with ann.locks.semaphore("a", 2).acquire(2, wait_s=0):
        pass


async def test_a_dead_waiter_keeps_nobody_waiting(place, ann, bob):
    cid = await place.process()
    first = await Stay(ann.locks.semaphore("a", 1).acquire()).entered()
    dead = Stay(bob.locks.semaphore("a", 1).acquire())
    await waits(ann, "a", 1)
    alive = Stay(cid.locks.semaphore("a", 1).acquire())
    await waits(ann, "a", 2)
    await bob.dies_on_the_server()

    await first.leaves()

    await alive.entered()
    await alive.leaves()
    dead.task.cancel()
    await asyncio.wait({dead.task})


async def test_permits_with_an_end_of_their_own_are_free_after_it(ann, bob):
    keeping = Stay(bob.locks.semaphore("a", 1).acquire(timeout_s=0.2, on_loss="flag"))
    await keeping.entered()

    async with ann.locks.semaphore("a", 1).acquire(wait_s=5):
        pass

    with pytest.raises(LockLostError):
        await keeping.leaves()


async def test_more_permits_let_in_who_waits_and_fewer_wait_for_returns(ann, bob):
    first = await Stay(ann.locks.semaphore("a", 1).acquire()).entered()
    second = Stay(bob.locks.semaphore("a", 1).acquire())
    await waits(ann, "a", 1)

    assert await ann.locks.semaphore("a", 1).set_permits(2) == 2

    await second.entered()
    assert await ann.locks.semaphore("a", 1).set_permits(1) == 2
    await first.leaves()
    with pytest.raises(LockNotGranted):
        async with ann.locks.semaphore("a", 5).acquire(wait_s=0):
            pass
    await second.leaves()
    async with ann.locks.semaphore("a", 5).acquire(wait_s=0):
        pass


async def test_a_wait_that_is_over_leaves_nothing_behind(ann, bob):
    first = await Stay(ann.locks.semaphore("a", 1).acquire()).entered()

    with pytest.raises(LockNotGranted):
        async with bob.locks.semaphore("a", 1).acquire(wait_s=0.05):
            pass

    await waits(ann, "a", 0)
    await first.leaves()
    assert not await ann.locks.ls()


async def test_permits_have_no_readers_and_no_writer(ann):
    async with ann.locks.semaphore("a", 2).acquire() as grant:
        with pytest.raises(InvalidInput, match="no lock with readers"):
            await grant.upgrade()
        with pytest.raises(InvalidInput, match="no lock with readers"):
            await grant.downgrade()


async def test_what_makes_no_sense_is_refused(ann):
    with pytest.raises(InvalidInput, match="permits"):
        ann.locks.semaphore("a", 0)
    with pytest.raises(InvalidName):
        ann.locks.semaphore("", 1)
    with pytest.raises(InvalidInput, match="weight"):
        ann.locks.semaphore("a", 2).acquire(3)


async def test_who_is_urgent_comes_before_who_came_a_little_earlier(ann, bob):
    order: list[str] = []

    async def work(name: str, priority: int) -> None:
        async with bob.locks.acquire_lock("a", priority=priority):
            order.append(name)

    async def in_line(count: int) -> None:
        async def is_so() -> bool:
            return len((await ann.locks.explain("a")).waiters) == count

        await until(is_so)

    async with ann.locks.acquire_lock("a"):
        tasks = [asyncio.ensure_future(work("first", 0))]
        await in_line(1)
        tasks.append(asyncio.ensure_future(work("urgent", 60)))
        await in_line(2)
        tasks.append(asyncio.ensure_future(work("more urgent", 120)))
        await in_line(3)

    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert order == ["more urgent", "urgent", "first"]
    assert not await ann.locks.ls()
