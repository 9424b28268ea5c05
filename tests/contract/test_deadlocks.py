"""Owners that wait for each other: found, broken once, and never seen where none is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from quorate.backend import Backend
from quorate.core.errors import DeadlockError, LockLostError, LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks.events import DeadlockBroken
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.testing.heard import Heard

TERMS = LeaseTerms(ttl_s=6.0, renew_every_s=1.0, retry_every_s=0.2, max_stall_s=5.0)
SOON = LockConfig(passing_s=0.0, deadlock_timeout_s=0.15)
LATER = LockConfig(passing_s=0.0, deadlock_timeout_s=0.5)
FOUND_WITHIN_S = 5.0


class Process:
    """A backend with a session of its own, and its locks."""

    def __init__(self, backend: Backend, locks: LockManager, heard: Heard) -> None:
        self.backend = backend
        self.locks = locks
        self.heard = heard

    @property
    def requests(self) -> int:
        return self.backend.wire.calls.stats().requests


class Nested:
    """A task that takes locks one inside the other, and then leaves them all."""

    def __init__(self, locks: LockManager) -> None:
        self._locks = locks
        self._orders: asyncio.Queue[tuple[str, dict]] = asyncio.Queue()
        self._inside = asyncio.Semaphore(0)
        self.task = asyncio.ensure_future(self._next())

    async def _next(self) -> None:
        name, terms = await self._orders.get()
        if name:
            async with self._locks.acquire_lock(name, **terms):
                self._inside.release()
                await self._next()

    def asks(self, name: str, **terms) -> None:
        self._orders.put_nowait((name, terms))

    async def takes(self, name: str, **terms) -> None:
        self.asks(name, **terms)
        async with asyncio.timeout(FOUND_WITHIN_S):
            await self._inside.acquire()

    def leaves(self) -> None:
        self._orders.put_nowait(("", {}))

    async def ends(self) -> BaseException | None:
        """The error that it ended with, if any."""
        self.leaves()
        await asyncio.wait({self.task}, timeout=FOUND_WITHIN_S)
        assert self.task.done(), "still waiting"
        return self.task.exception()


NewProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def process(redis_url: str, namespace: str) -> AsyncIterator[NewProcess]:
    open_: list[Process] = []

    async def new(config: LockConfig = SOON) -> Process:
        heard = Heard()
        backend = Backend(redis_url, namespace=namespace, terms=TERMS, emit=heard.emit)
        await backend.start()
        locks = LockManager.over(
            backend.wire, backend.session, config, heard.emit, backend.chance
        )
        backend.sweeper.add(locks.sweeper_room())
        await locks.start()
        open_.append(Process(backend, locks, heard))
        return open_[-1]

    yield new
    for one in open_:
        await one.locks.stop()
        await one.backend.stop()


async def waiters(process: Process, name: str, count: int) -> None:
    """Wait until so many stand in the server's line."""
    async with asyncio.timeout(FOUND_WITHIN_S):
        while len((await process.locks.explain(name)).waiters) != count:
            await asyncio.sleep(0.002)


async def outcomes(owners: Sequence[Nested]) -> list[BaseException | None]:
    for owner in owners:
        owner.leaves()
    return [await owner.ends() for owner in owners]


def victims(errors: Sequence[BaseException | None]) -> int:
    assert all(error is None or isinstance(error, DeadlockError) for error in errors)
    return sum(error is not None for error in errors)


@pytest.mark.parametrize("length", [2, 3, 5])
async def test_processes_that_wait_in_a_circle_lose_exactly_one(process, length: int):
    processes = [await process() for _ in range(length)]
    owners = [Nested(each.locks) for each in processes]
    for number, owner in enumerate(owners):
        await owner.takes(f"lock-{number}", label=f"step {number}")

    for number, owner in enumerate(owners):
        owner.asks(f"lock-{(number + 1) % length}", label=f"next {number}")
    errors = await outcomes(owners)

    assert victims(errors) == 1
    (error,) = [each for each in errors if each is not None]
    assert all(f"lock-{number}" in str(error) for number in range(length))
    assert all(f"next {number}" in str(error) for number in range(length))
    assert sum(p.locks.stats().deadlocks_total for p in processes) == 1
    assert sum(len(p.heard.all(DeadlockBroken)) for p in processes) == 1


async def test_the_last_to_wait_gives_way(process):
    ann, bob = await process(), await process()
    first, second = Nested(ann.locks), Nested(bob.locks)
    await first.takes("a")
    await second.takes("b")
    first.asks("b")
    await waiters(ann, "b", 1)
    await asyncio.sleep(0.01)

    second.asks("a")

    assert isinstance(await second.ends(), DeadlockError)
    assert await first.ends() is None


async def test_a_circle_inside_one_process_is_refused_at_once(process):
    ann = await process(LockConfig(deadlock_timeout_s=60.0))
    first, second = Nested(ann.locks), Nested(ann.locks)
    await first.takes("a")
    await second.takes("b")
    first.asks("b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    before = ann.requests

    second.asks("a", label="too far")
    await asyncio.wait({second.task}, timeout=1)

    assert isinstance(second.task.exception(), DeadlockError)
    assert "too far" in str(second.task.exception())
    assert ann.requests - before <= 1  # its own lock goes back
    assert await first.ends() is None


async def test_a_circle_through_tasks_that_stand_behind_others_is_found(process):
    ann, bob = await process(), await process()
    holder, behind, third = Nested(ann.locks), Nested(ann.locks), Nested(ann.locks)
    other = Nested(bob.locks)
    await holder.takes("a")
    await behind.takes("b")
    await other.takes("c")
    third.asks("a")
    await waiters(ann, "a", 1)
    behind.asks("a")
    other.asks("b")

    holder.asks("c")

    assert victims(await outcomes([holder, other, behind, third])) == 1


async def test_a_circle_through_a_place_in_a_line_is_found(process):
    ann, bob, cid = [await process() for _ in range(3)]
    reader, writer, late = Nested(ann.locks), Nested(bob.locks), Nested(cid.locks)
    await reader.takes("n", lock_type=LockType.SHARED)
    await late.takes("m")
    writer.asks("n")
    await waiters(ann, "n", 1)
    late.asks("n", lock_type=LockType.SHARED)  # behind the writer, so that it may enter
    await waiters(ann, "n", 2)

    reader.asks("m")

    assert victims(await outcomes([reader, writer, late])) == 1


async def upgrades(process: Process, name: str, holding: str = "") -> None:
    """As a reader that, perhaps with another lock in hand, wants to be the writer."""
    async with AsyncExitStack() as stack:
        if holding:
            await stack.enter_async_context(process.locks.acquire_lock(holding))
        grant = await stack.enter_async_context(
            process.locks.acquire_lock(name, LockType.SHARED)
        )
        await grant.upgrade()


async def is_upgrading(process: Process, name: str) -> None:
    tag = process.backend.wire.keys.lock_tag(name)
    async with asyncio.timeout(FOUND_WITHIN_S):
        call = process.backend.wire.calls.command
        while not await call("HEXISTS", f"{tag}:l:h:{name}", "u"):
            await asyncio.sleep(0.002)


async def test_a_circle_through_a_reader_that_wants_to_write_is_found(process):
    ann, bob = await process(), await process()
    reader = Nested(bob.locks)
    await reader.takes("n", lock_type=LockType.SHARED)
    upgrading = asyncio.ensure_future(upgrades(ann, "n", holding="m"))
    await is_upgrading(ann, "n")

    reader.asks("m")
    await asyncio.wait({upgrading}, timeout=FOUND_WITHIN_S)

    assert upgrading.done(), "still waiting"
    assert victims([upgrading.exception(), await reader.ends()]) == 1


async def test_a_reader_that_wants_to_write_gives_way_and_stays_a_reader(process):
    ann, bob = await process(), await process()
    reader = Nested(bob.locks)
    async with ann.locks.acquire_lock("m"):
        await reader.takes("n", lock_type=LockType.SHARED)
        async with ann.locks.acquire_lock("n", LockType.SHARED) as grant:
            reader.asks("m", priority=9)
            await waiters(ann, "m", 1)

            with pytest.raises(DeadlockError, match=r"'n'.*'m'"):
                await grant.upgrade()

            grant.check()
            assert grant.lock_type is LockType.SHARED
    assert await reader.ends() is None


async def test_a_circle_through_a_reader_kept_out_by_one_that_wants_to_write(process):
    ann, bob, cid = [await process() for _ in range(3)]
    reader, late = Nested(bob.locks), Nested(cid.locks)
    await reader.takes("n", lock_type=LockType.SHARED)
    await late.takes("m")
    upgrading = asyncio.ensure_future(upgrades(ann, "n"))
    await is_upgrading(ann, "n")
    late.asks("n", lock_type=LockType.SHARED)
    await waiters(ann, "n", 1)

    reader.asks("m")
    errors = await outcomes([reader, late])
    await asyncio.wait({upgrading}, timeout=FOUND_WITHIN_S)

    assert upgrading.done(), "still waiting"
    assert victims([*errors, upgrading.exception()]) == 1


async def waits_to_write(process: Process) -> None:
    async with asyncio.timeout(FOUND_WITHIN_S):
        while not process.locks._open_desk().conversions._waiting:
            await asyncio.sleep(0)


@pytest.mark.parametrize("passing_s", [0.0, 30.0], ids=["apart", "sharing"])
async def test_a_circle_of_one_process_through_an_upgrade_is_refused_at_once(
    process, passing_s: float
):
    ann = await process(LockConfig(passing_s=passing_s, deadlock_timeout_s=60.0))
    reader = Nested(ann.locks)
    await reader.takes("n", lock_type=LockType.SHARED)
    upgrading = asyncio.ensure_future(upgrades(ann, "n", holding="m"))
    await waits_to_write(ann)

    reader.asks("m")
    error = await reader.ends()

    await asyncio.wait({upgrading}, timeout=FOUND_WITHIN_S)
    assert upgrading.done(), "still waiting"
    assert victims([error, upgrading.exception()]) == 1


async def test_a_circle_through_readers_that_share_a_hold_is_found(process):
    sharing = LockConfig(passing_s=30.0, deadlock_timeout_s=0.15)
    ann, bob = await process(sharing), await process()
    reader, other = Nested(ann.locks), Nested(bob.locks)
    await reader.takes("n", lock_type=LockType.SHARED)
    await other.takes("x")
    upgrading = asyncio.ensure_future(upgrades(ann, "n", holding="m"))
    await waits_to_write(ann)
    reader.asks("x")
    await waiters(bob, "x", 1)

    other.asks("m")
    errors = await outcomes([reader, other])
    await asyncio.wait({upgrading}, timeout=FOUND_WITHIN_S)

    assert upgrading.done(), "still waiting"
    assert victims([*errors, upgrading.exception()]) == 1


async def test_a_victim_that_stands_behind_its_own_leaves_the_others_in_line(process):
    ann, bob = await process(), await process()
    holder, victim = Nested(ann.locks), Nested(ann.locks)
    other = Nested(bob.locks)
    await holder.takes("a")
    await victim.takes("b")
    await other.takes("c")
    holder.asks("c")
    other.asks("b")
    await waiters(bob, "b", 1)
    await asyncio.sleep(0.01)

    victim.asks("a")

    assert isinstance(await victim.ends(), DeadlockError)
    assert await other.ends() is None
    assert await holder.ends() is None


async def test_a_long_wait_that_is_no_circle_is_left_alone(process):
    ann, bob, cid = [await process() for _ in range(3)]
    first, second, third = Nested(ann.locks), Nested(bob.locks), Nested(cid.locks)
    await first.takes("a")
    await second.takes("b")
    await third.takes("c")
    second.asks("a")
    third.asks("b")

    await waiters(ann, "a", 1)
    await asyncio.sleep(SOON.deadlock_timeout_s * 4)
    first.leaves()

    assert await outcomes([first, second, third]) == [None, None, None]


async def test_who_waits_with_nothing_in_hand_asks_the_server_nothing_more(process):
    ann, bob = await process(), await process()
    holder = Nested(ann.locks)
    await holder.takes("a")
    waiting = [Nested(bob.locks) for _ in range(20)]
    for each in waiting:
        each.asks("a")
    await waiters(ann, "a", 1)
    before = bob.requests

    await asyncio.sleep(SOON.deadlock_timeout_s * 3)

    assert bob.requests == before
    await outcomes([holder, *waiting])


async def test_a_long_wait_with_a_lock_in_hand_is_looked_at_once(process):
    ann, bob = await process(), await process(LATER)
    await ann.locks._waits.compare([], {})  # the server knows the script from here on
    holder, waiting = Nested(ann.locks), Nested(bob.locks)
    await holder.takes("a")
    await waiting.takes("b")
    waiting.asks("a")
    await waiters(ann, "a", 1)
    before = bob.requests

    await asyncio.sleep(LATER.deadlock_timeout_s * 2.5)

    tags = bob.backend.wire.keys.lock_tags
    assert bob.requests - before == len(tags)  # one, but in a Cluster
    await outcomes([holder, waiting])


async def test_a_circle_that_a_limited_wait_ends_by_itself_needs_no_victim(process):
    patient = LockConfig(passing_s=0.0, deadlock_timeout_s=30.0)
    ann, bob = await process(patient), await process(patient)
    first, second = Nested(ann.locks), Nested(bob.locks)
    await first.takes("a")
    await second.takes("b")
    first.asks("b")

    second.asks("a", wait_s=0.1)

    assert isinstance(await second.ends(), LockNotGranted)
    assert await first.ends() is None


async def test_nothing_is_noted_any_more_when_the_waits_are_over(process):
    ann, bob = await process(), await process()
    first, second = Nested(ann.locks), Nested(bob.locks)
    await first.takes("a")
    await second.takes("b")
    first.asks("b")
    second.asks("a")
    await outcomes([second, first])

    call = ann.backend.wire.calls.command
    async with asyncio.timeout(FOUND_WITHIN_S):
        for tag in ann.backend.wire.keys.lock_tags:
            while await call("EXISTS", f"{tag}:l:n"):
                await asyncio.sleep(0.01)


async def test_a_lock_that_is_taken_away_goes_to_the_next_in_line(process):
    ann, bob = await process(), await process()
    holder, following = Nested(ann.locks), Nested(bob.locks)
    await holder.takes("a")
    following.asks("a")
    await waiters(ann, "a", 1)
    (held,) = (await bob.locks.explain("a")).holders

    assert not await bob.locks.release("a", held.token - 1)
    assert await bob.locks.release("a", held.token)

    assert isinstance(await holder.ends(), LockLostError)
    assert await following.ends() is None


async def test_readers_that_share_a_token_lose_the_lock_together(process):
    ann, bob = await process(), await process()
    readers = [Nested(ann.locks), Nested(bob.locks)]
    for reader in readers:
        await reader.takes("a", lock_type=LockType.SHARED)
    token = (await ann.locks.explain("a")).holders[0].token

    assert await ann.locks.release("a", token)

    errors = [await reader.ends() for reader in readers]
    assert all(isinstance(error, LockLostError) for error in errors)


async def test_a_reader_that_waits_to_be_the_writer_can_be_taken_away(process):
    ann, bob = await process(), await process()
    reader = Nested(bob.locks)
    await reader.takes("a", lock_type=LockType.SHARED)

    with pytest.raises(LockLostError):
        async with ann.locks.acquire_lock("a", LockType.SHARED) as grant:
            upgrading = asyncio.ensure_future(grant.upgrade())
            await is_upgrading(ann, "a")
            assert await bob.locks.release("a", grant.token)
            await upgrading

    assert isinstance(await reader.ends(), LockLostError)


async def test_who_waits_for_one_of_several_permits_is_in_no_circle(process):
    ann, bob, cid = [await process() for _ in range(3)]
    two = [each.locks.semaphore("two", 2) for each in (ann, bob, cid)]

    async def holds_a_permit_and_waits() -> None:
        locks = ann.locks
        async with two[0].acquire(), locks.acquire_lock("a"), locks.acquire_lock("b"):
            pass

    async with asyncio.timeout(2 * FOUND_WITHIN_S):
        async with two[2].acquire(), bob.locks.acquire_lock("b"):
            first = asyncio.create_task(holds_a_permit_and_waits())
            await waiters(bob, "b", 1)
            with pytest.raises(LockNotGranted):
                async with two[1].acquire(wait_s=5 * SOON.deadlock_timeout_s):
                    pass
        await first

    assert not any(each.heard.count(DeadlockBroken) for each in (ann, bob, cid))


async def test_the_chain_behind_a_wait_leads_to_who_holds_everything_up(process):
    ann, bob, cid = [await process() for _ in range(3)]
    first, second, third = Nested(ann.locks), Nested(bob.locks), Nested(cid.locks)
    await first.takes("a", owner="ann", label="the report")
    await second.takes("b", owner="bob")
    second.asks("a", owner="bob")
    third.asks("b", owner="cid")
    await waiters(ann, "a", 1)
    await waiters(ann, "b", 1)

    why = await ann.locks.why("cid")

    assert [(s.depth, s.waiter.owner, s.waiter.name) for s in why.steps] == [
        (0, "cid", "b"),
        (1, "bob", "a"),
    ]
    assert not why.is_circle
    assert "the report" in str(why)
    await outcomes([first, second, third])
    assert "waits for nothing" in str(await ann.locks.why("cid"))


async def test_a_circle_is_shown_as_one_while_it_lasts(process):
    patient = LockConfig(passing_s=0.0, deadlock_timeout_s=60.0)
    ann, bob = await process(patient), await process(patient)
    first, second = Nested(ann.locks), Nested(bob.locks)
    await first.takes("a", owner="ann")
    await second.takes("b", owner="bob")
    first.asks("b", owner="ann", wait_s=0.6)
    second.asks("a", owner="bob")
    await waiters(ann, "a", 1)
    await waiters(ann, "b", 1)

    why = await bob.locks.why("ann")

    assert why.is_circle
    assert "in a circle" in str(why)
    assert isinstance(await first.ends(), LockNotGranted)
    await second.ends()
