"""Several locks at once, over every server: all or none, and never in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, in_line, until

from quorate.core.errors import (
    DeadlockError,
    InvalidInput,
    InvalidName,
    LockLostError,
    LockNotGranted,
    OutcomeUnknown,
)
from quorate.locks.answers import Ask
from quorate.locks.model import LockType


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


async def nothing_left(process: Process) -> None:
    async def is_so() -> bool:
        return not await process.locks.ls()

    await until(is_so)


async def test_free_locks_are_one_request_to_take_and_one_write_to_give_back(ann):
    names = ann.names_of_one_tag("lock 3", "lock 1", "lock 2")
    async with ann.locks.lock_all(names[:2]):
        pass
    before, calls = ann.requests, ann.backend.wire.calls

    async with ann.locks.lock_all(names) as grants:
        assert ann.requests - before == 1
        assert [grant.name for grant in grants] == names
        for grant in grants:
            grant.check()
        assert len(await ann.locks.ls()) == 3
        before, writes = ann.requests, calls.stats().writes

    assert ann.requests - before == 3
    assert calls.stats().writes - writes <= 2
    assert not await ann.locks.ls()


async def test_if_one_is_taken_none_is_held(ann, bob):
    async with bob.locks.acquire_lock("b"):
        for wait_s in (0, 0.05):
            with pytest.raises(LockNotGranted):
                async with ann.locks.lock_all(["c", "b", "a"], wait_s=wait_s):
                    pass
            await in_line(bob, "b", 0)
            assert [line.name for line in await bob.locks.ls()] == ["b"]


async def test_it_waits_for_what_is_taken(ann, bob):
    entered = asyncio.Event()

    async def work() -> None:
        async with ann.locks.lock_all(["a", "b"]):
            entered.set()

    async with bob.locks.acquire_lock("b"):
        working = asyncio.ensure_future(work())
        await in_line(bob, "b", 1)
        assert not entered.is_set()

    await asyncio.wait_for(working, 5)
    await nothing_left(ann)


async def test_who_takes_the_same_in_any_order_never_waits_in_a_circle(place):
    processes = [await place.process() for _ in range(3)]
    inside = 0

    async def work(process: Process, names: list[str]) -> None:
        nonlocal inside
        for _ in range(5):
            async with process.locks.lock_all(names):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1

    orders = [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]]
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(work(process, names) for process in processes for names in orders)
        )

    await nothing_left(processes[0])


async def test_others_of_the_process_stand_behind(ann):
    order: list[str] = []

    async def one(name: str) -> None:
        async with ann.locks.acquire_lock(name):
            order.append(name)

    async with ann.locks.lock_all(["a", "b"]):
        waiting = [asyncio.ensure_future(one(name)) for name in "ab"]
        await until(lambda: ann.locks.stats().waiting == 2)
        order.append("all")

    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order[0] == "all"
    assert sorted(order[1:]) == ["a", "b"]


async def test_readers_may_hold_several_together(ann, bob):
    async with (
        ann.locks.lock_all(["a", "b"], LockType.SHARED),
        bob.locks.lock_all(["b", "a"], LockType.SHARED, wait_s=0),
    ):
        assert {len(line.holders) for line in await ann.locks.ls()} == {2}
    await nothing_left(ann)


async def test_a_name_given_twice_is_taken_once(ann):
    async with ann.locks.lock_all(["a", "b", "a"]) as grants:
        assert grants[0] is grants[2]


async def test_what_is_held_already_is_refused(ann):
    async with ann.locks.acquire_lock("b"):
        with pytest.raises(DeadlockError):
            async with ann.locks.lock_all(["a", "b"]):
                pass
        (line,) = await ann.locks.ls()
        assert line.name == "b"


async def test_the_loss_of_one_stops_the_block_and_the_others_go_back(ann):
    with pytest.raises(LockLostError, match="'b'"):
        async with ann.locks.lock_all(["a", "b", "c"]) as grants:
            desk = ann.locks._open_desk()
            desk.lose(grants[1]._hold, "a test says so", is_claimed=True)
            await asyncio.Event().wait()

    await nothing_left(ann)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_nobody_knows_of_is_given_back(ann, monkeypatch):
    store = ann.locks._store
    right = store.acquire_all

    async def lost(asks):
        await right(asks)
        raise OutcomeUnknown("the answer was lost")

    monkeypatch.setattr(store, "acquire_all", lost)
    with pytest.raises(OutcomeUnknown):
        async with ann.locks.lock_all(["a", "b"]):
            pass

    await nothing_left(ann)
    monkeypatch.setattr(store, "acquire_all", right)
    async with ann.locks.lock_all(["a", "b"], wait_s=0):
        pass


async def test_an_ask_that_is_cancelled_leaves_nothing(ann, monkeypatch):
    store = ann.locks._store
    right, asked = store.acquire_all, asyncio.Event()

    async def slow(asks):
        await right(asks)
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "acquire_all", slow)
    taking = asyncio.ensure_future(ann.locks.lock_all(["a", "b"]).__aenter__())
    await asked.wait()
    taking.cancel()
    await asyncio.wait({taking})

    await nothing_left(ann)


async def test_asking_again_gives_the_same_and_a_late_copy_is_refused(ann):
    store = ann.locks._store
    block = ann.locks.lock_all(ann.names_of_one_tag("a", "b"))
    grants = await block.__aenter__()
    asks = [
        Ask(grant.name, grant._hold.id, False, True, 0.0, "o", "") for grant in grants
    ]

    again = await store.acquire_all(asks)

    assert [answer.token for answer in again] == [grant.token for grant in grants]
    await block.__aexit__(None, None, None)
    for ask in asks:
        await store.leave(ask.name, ask.id, echo=True)
    assert await store.acquire_all(asks) == []
    await nothing_left(ann)


async def test_what_makes_no_sense_is_refused(ann):
    for names in ([], "ab", ["a"] * 1001):
        with pytest.raises(InvalidInput):
            ann.locks.lock_all(names)
    with pytest.raises(InvalidName):
        ann.locks.lock_all(["a", ""])
