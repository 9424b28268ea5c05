"""Readers of one process under one claim: cheap, and no unfairer than others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, in_line, until

from quorate.core.errors import DeadlockError, LockLostError, LockNotGranted
from quorate.locks.hold import Hold
from quorate.locks.model import LockConfig, LockType

SHARED = LockType.SHARED
JOINING = LockConfig(passing_s=30.0)


@pytest.fixture
async def place(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    monkeypatch.setattr("quorate.locks.readers.JOIN_S", 30.0)
    place = Place(redis_url, namespace)
    yield place
    await place.close()


@pytest.fixture
async def ann(place: Place) -> Process:
    ann = await place.process(config=JOINING)
    async with ann.locks.acquire_lock("a", SHARED):
        pass
    return ann


@pytest.fixture
async def bob(place: Place) -> Process:
    return await place.process()


class Reader:
    """A task that reads until it is told to leave."""

    def __init__(self, process: Process, **terms) -> None:
        self._leave = asyncio.Event()
        self._inside = asyncio.Event()
        self.tokens: list[int] = []
        self._block = lambda: process.locks.acquire_lock("a", SHARED, **terms)
        self.task = asyncio.ensure_future(self._reads())

    async def _reads(self) -> None:
        async with self._block() as grant:
            self.tokens.append(grant.token)
            self._inside.set()
            await self._leave.wait()

    async def reads(self) -> None:
        await asyncio.wait_for(self._inside.wait(), 5)

    async def leaves(self) -> None:
        self._leave.set()
        await asyncio.wait_for(self.task, 5)


def its_hold(process: Process) -> Hold:
    (hold,) = process.locks._open_desk().holdings.all()
    return hold


async def test_readers_that_come_at_once_or_soon_after_are_two_requests(ann):
    before = ann.requests
    readers = [Reader(ann) for _ in range(100)]
    for reader in readers:
        await reader.reads()
    late = Reader(ann)
    await late.reads()

    assert ann.requests - before == 1
    assert len((await ann.locks.explain("a")).holders) == 1
    assert len({reader.tokens[0] for reader in (*readers, late)}) == 1
    before = ann.requests
    for reader in (*readers, late):
        await reader.leaves()

    assert ann.requests - before == 1
    assert not await ann.locks.ls()
    assert ann.locks.stats().acquired_total == 102


async def test_who_comes_later_asks_for_itself(ann):
    first = Reader(ann)
    await first.reads()
    its_hold(ann).began_at -= 60
    before = ann.requests

    second = Reader(ann)
    await second.reads()

    assert ann.requests - before == 1
    await first.leaves()
    await second.leaves()
    assert not await ann.locks.ls()


async def test_who_has_left_does_not_pass_a_writer_that_waits(ann, bob):
    async def writes() -> None:
        async with bob.locks.acquire_lock("a"):
            pass

    stays = Reader(ann)
    await stays.reads()
    async with ann.locks.acquire_lock("a", SHARED):
        pass
    its_hold(ann).began_at -= 60
    writing = asyncio.ensure_future(writes())
    await in_line(bob, "a", 1)

    with pytest.raises(LockNotGranted):
        async with ann.locks.acquire_lock("a", SHARED, wait_s=0):
            pass

    await stays.leaves()
    await asyncio.wait_for(writing, 5)


async def test_those_who_have_terms_of_their_own_have_a_claim_of_their_own(ann):
    first = Reader(ann)
    await first.reads()
    others = [Reader(ann, timeout_s=60), Reader(ann, at_least_for_s=0.001)]
    for other in others:
        await other.reads()

    assert len((await ann.locks.explain("a")).holders) == 3
    for reader in (first, *others):
        await reader.leaves()


async def test_when_the_claim_is_lost_all_are_stopped(ann):
    readers = [Reader(ann) for _ in range(3)]
    for reader in readers:
        await reader.reads()

    assert await ann.locks.release("a", readers[0].tokens[0])

    told = await asyncio.gather(*(r.task for r in readers), return_exceptions=True)
    assert [type(each) for each in told] == [LockLostError] * 3
    assert ann.locks.stats().held == 0


async def test_the_first_may_be_cancelled_while_all_wait_for_its_answer(ann):
    readers = [Reader(ann) for _ in range(5)]
    await asyncio.sleep(0)

    readers[0].task.cancel()

    for reader in readers[1:]:
        await reader.reads()
        await reader.leaves()
    await until(lambda: ann.locks.stats().waiting == 0)


async def test_who_wants_to_write_waits_until_those_who_share_have_left(ann, bob):
    sharing = Reader(ann)
    await sharing.reads()
    async with ann.locks.acquire_lock("a", SHARED) as grant:
        with pytest.raises(LockNotGranted):
            await grant.upgrade(wait_s=0)
        with pytest.raises(LockNotGranted):
            await grant.upgrade(wait_s=0.02)
        upgrading = asyncio.ensure_future(grant.upgrade())
        await asyncio.sleep(0.01)
        assert not upgrading.done()
        other = Reader(ann)  # must not make the wait longer
        await other.reads()
        assert len((await ann.locks.explain("a")).holders) == 2
        await other.leaves()

        await sharing.leaves()
        await asyncio.wait_for(upgrading, 5)

        assert grant.lock_type is LockType.EXCLUSIVE
        assert grant.token > sharing.tokens[0]
        with pytest.raises(LockNotGranted):
            async with bob.locks.acquire_lock("a", SHARED, wait_s=0):
                pass
    assert not await ann.locks.ls()


async def test_of_two_that_share_and_want_to_write_the_second_is_refused(ann):
    ready = asyncio.Barrier(2)

    async def upgrades() -> None:
        async with ann.locks.acquire_lock("a", SHARED) as grant:
            await ready.wait()
            await grant.upgrade()

    told = await asyncio.wait_for(
        asyncio.gather(upgrades(), upgrades(), return_exceptions=True), 5
    )

    assert sorted(type(each) for each in told if each) == [DeadlockError]
