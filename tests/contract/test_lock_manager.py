"""What users of locks rely on, over every server: turns, loss, healing, no leaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.anywhere import cut_inbox, inboxes, publish

from quorate.backend import Backend
from quorate.core.errors import LockLostError, LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks.events import LockLost
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.testing.heard import Heard
from quorate.wire.consul import ConsulWire

SHORT = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=3.0)
NO_PASSING = LockConfig(passing_s=0.0)


class Process:
    """A backend with a session of its own, and its locks."""

    def __init__(self, backend: Backend, locks: LockManager, heard: Heard) -> None:
        self.backend = backend
        self.locks = locks
        self.heard = heard

    async def stays(self, name: str, **terms) -> Stay:
        stay = Stay(self.locks, name, **terms)
        await stay.entered()
        return stay

    async def ends_on_the_server(self) -> None:
        """The session is over, and the process does not know it yet."""
        (member,) = self.backend.session.memberships()
        server = self.backend.server
        if isinstance(server, ConsulWire):
            ident = server.roster.id_of(member.name)
            assert await server.calls.done(f"/v1/session/destroy/{ident}")
        else:
            await server.sessions().end(member.tag, member.name)


class Stay:
    """A task that stays inside a lock until it is told to leave."""

    def __init__(self, locks: LockManager, name: str, **terms) -> None:
        self._inside, self._leave = asyncio.Event(), asyncio.Event()
        self.token = 0
        self.task = asyncio.ensure_future(self._work(locks, name, terms))

    async def _work(self, locks: LockManager, name: str, terms) -> None:
        async with locks.acquire_lock(name, **terms) as grant:
            self.token = grant.token
            self._inside.set()
            await self._leave.wait()

    async def entered(self, within_s: float = 5.0) -> Stay:
        inside = asyncio.ensure_future(self._inside.wait())
        await asyncio.wait(
            {inside, self.task},
            timeout=within_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        inside.cancel()
        if self.task.done():
            await self.task
        assert self._inside.is_set(), f"not inside within {within_s:g} s"
        return self

    async def leaves(self) -> None:
        self._leave.set()
        await self.task


NewProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def process(locks_url: str, namespace: str) -> AsyncIterator[NewProcess]:
    open_: list[tuple[Backend, LockManager]] = []

    async def new(
        terms: LeaseTerms = SHORT, config: LockConfig = NO_PASSING
    ) -> Process:
        heard = Heard()
        backend = Backend(locks_url, namespace=namespace, terms=terms, emit=heard.emit)
        await backend.start()
        locks = LockManager.over(
            backend.server, backend.session, config, heard.emit, backend.chance
        )
        backend.sweeper.add(locks.sweeper_room())
        await locks.start()
        open_.append((backend, locks))
        return Process(backend, locks, heard)

    yield new
    for backend, locks in open_:
        await locks.stop()
        await backend.stop()


@pytest.fixture
async def ann(process: NewProcess) -> Process:
    return await process()


@pytest.fixture
async def bob(process: NewProcess) -> Process:
    return await process()


async def in_line(process: Process, name: str, waiting: int) -> None:
    """Wait until so many stand in the server's line."""
    async with asyncio.timeout(5):
        while len((await process.locks.explain(name)).waiters) != waiting:
            await asyncio.sleep(0.005)


async def nothing_left(process: Process) -> None:
    """Wait until nobody holds or awaits anything on the server."""
    async with asyncio.timeout(5):
        while await process.locks.ls():
            await asyncio.sleep(0.01)


async def test_one_owner_at_a_time_and_tokens_grow(process):
    processes = [await process(config=LockConfig()) for _ in range(3)]
    tokens: list[int] = []
    inside = 0

    async def work(locks: LockManager) -> None:
        nonlocal inside
        for _ in range(5):
            async with locks.acquire_lock("a") as grant:
                inside += 1
                assert inside == 1
                tokens.append(grant.token)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(*(work(p.locks) for p in processes for _ in range(10)))

    assert len(tokens) == 150
    assert tokens == sorted(set(tokens))
    await nothing_left(processes[0])


async def test_processes_are_served_in_the_order_of_asking(ann, bob, process):
    cid = await process()
    first = await ann.stays("a")
    second = Stay(bob.locks, "a")
    await in_line(ann, "a", 1)
    third = Stay(cid.locks, "a")
    await in_line(ann, "a", 2)

    await first.leaves()
    await second.entered()
    assert third.token == 0
    await second.leaves()
    await third.entered()
    await third.leaves()

    assert first.token < second.token < third.token


async def test_a_task_that_asked_first_is_served_first_although_its_process_holds(
    ann, bob
):
    first = await ann.stays("a")
    second = Stay(ann.locks, "a")
    await in_line(ann, "a", 1)
    third = Stay(bob.locks, "a")
    await in_line(ann, "a", 2)

    await first.leaves()
    await second.entered()
    assert third.token == 0
    await second.leaves()
    await third.entered()
    await third.leaves()
    await nothing_left(ann)


async def test_a_wait_that_is_over_says_who_holds_the_lock(ann, bob):
    stay = await ann.stays("a", label="the nightly report")

    with pytest.raises(LockNotGranted, match="the nightly report"):
        async with bob.locks.acquire_lock("a", wait_s=0.05):
            pass
    with pytest.raises(LockNotGranted, match="the nightly report"):
        async with bob.locks.acquire_lock("a", wait_s=0):
            pass

    await in_line(ann, "a", 0)
    await stay.leaves()


async def test_a_session_that_ends_stops_the_block_and_frees_the_lock(ann, bob):
    stay = await ann.stays("a")
    waiting = Stay(bob.locks, "a")
    await in_line(bob, "a", 1)

    await ann.ends_on_the_server()

    with pytest.raises(LockLostError):
        await asyncio.wait_for(stay.task, 5)
    await waiting.entered()
    assert waiting.token > stay.token
    await ann.heard(LockLost, lock="a", token=stay.token)
    await waiting.leaves()


async def test_after_a_loss_the_process_takes_locks_again(ann):
    stay = await ann.stays("a")
    await ann.ends_on_the_server()
    with pytest.raises(LockLostError):
        await asyncio.wait_for(stay.task, 5)

    again = await ann.stays("a")

    assert again.token > stay.token
    await again.leaves()


async def test_a_process_that_goes_leaves_nothing_and_serves_the_next(ann, bob):
    stay = await ann.stays("a")
    waiting = Stay(bob.locks, "a")
    await in_line(bob, "a", 1)

    await ann.locks.stop()
    await ann.backend.stop()

    with pytest.raises(LockLostError, match="lost"):
        await stay.task
    await waiting.entered()
    await waiting.leaves()


@pytest.mark.differs_on_consul(
    "there are no messages: tests/integration/test_consul_locks.py breaks its watches"
)
async def test_a_grant_of_which_the_news_are_lost_is_found(ann, bob):
    """The subscription breaks, the grant is published to nobody, and it heals."""
    stay = await ann.stays("a")
    waiting = Stay(bob.locks, "a")
    await in_line(ann, "a", 1)
    wire = bob.backend.wire
    deaf = {inbox: inbox._handlers.copy() for inbox in inboxes(wire)}
    for inbox in deaf:
        inbox._handlers.clear()

    await stay.leaves()
    passed = asyncio.Event()
    barrier = f"{wire.keys.lock_tag('a')}:barrier"
    await wire.inbox.subscribe(barrier, lambda _: passed.set())
    await publish(wire, barrier, "all before this has come")
    await asyncio.wait_for(passed.wait(), 5)
    assert waiting.token == 0
    for inbox, handlers in deaf.items():
        inbox._handlers.update(handlers)
    cut_inbox(wire)

    await waiting.entered()
    await waiting.leaves()


async def test_a_hard_end_stops_the_block_before_the_next_is_served(ann, bob):
    served_when_stopped = []

    async def work() -> None:
        async with ann.locks.acquire_lock("a", timeout_s=0.4):
            try:
                await asyncio.Event().wait()
            finally:
                served_when_stopped.append(waiting.token)

    task = asyncio.ensure_future(work())
    while not ann.locks.holders():
        await asyncio.sleep(0)
    waiting = Stay(bob.locks, "a")

    with pytest.raises(LockLostError, match="lost"):
        await task
    await waiting.entered()
    assert served_when_stopped == [0]
    await waiting.leaves()


async def test_a_hard_end_serves_the_next_even_if_the_block_does_not_stop(ann, bob):
    entered = asyncio.Event()
    go_on = asyncio.Event()

    async def stubborn() -> None:
        async with ann.locks.acquire_lock("a", timeout_s=0.3, on_loss="flag"):
            entered.set()
            await go_on.wait()

    task = asyncio.ensure_future(stubborn())
    await entered.wait()
    waiting = await Stay(bob.locks, "a").entered(within_s=1.0)

    go_on.set()
    with pytest.raises(LockLostError):
        await task
    assert len((await bob.locks.explain("a")).holders) == 1
    await waiting.leaves()


async def test_readers_of_several_processes_share_and_a_writer_gets_its_turn(
    ann, bob, process
):
    cid = await process()
    readers = [await p.stays("a", lock_type=LockType.SHARED) for p in (ann, bob)]
    writer = Stay(cid.locks, "a")
    await in_line(ann, "a", 1)
    late = Stay(ann.locks, "a", lock_type=LockType.SHARED)
    await in_line(ann, "a", 2)

    for reader in readers:
        await reader.leaves()
    await writer.entered()
    assert late.token == 0
    await writer.leaves()
    await late.entered()
    await late.leaves()


async def test_cancelled_waiters_and_holders_leave_nothing_behind(ann, bob):
    chance = random.Random(7)

    async def work(locks: LockManager) -> None:
        async with locks.acquire_lock(f"a{chance.randrange(3)}"):
            await asyncio.sleep(0.001)

    tasks = []
    for _ in range(150):
        tasks.append(asyncio.ensure_future(work(chance.choice((ann, bob)).locks)))
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        chance.choice(tasks).cancel()

    ended = await asyncio.gather(*tasks, return_exceptions=True)

    kinds = {type(error) for error in ended if error is not None}
    assert kinds <= {asyncio.CancelledError}
    await nothing_left(ann)
    assert ann.locks.stats().waiting == ann.locks.stats().held == 0
    assert bob.locks.stats().waiting == bob.locks.stats().held == 0


async def test_explain_and_ls_show_what_the_server_knows(ann, bob):
    stay = await ann.stays("a:1", label="report")
    waiting = Stay(bob.locks, "a:1", label="other")
    await in_line(bob, "a:1", 1)

    explanation = await bob.locks.explain("a:1")
    (line,) = await bob.locks.ls()

    assert explanation.holders[0].label == "report"
    assert explanation.holders[0].token == stay.token
    assert explanation.waiters[0].label == "other"
    assert (line.name, len(line.holders), line.waiting) == ("a:1", 1, 1)
    await stay.leaves()
    await waiting.entered()
    await waiting.leaves()
    assert await bob.locks.ls() == []
