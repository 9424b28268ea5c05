"""What locks cost, in requests: exact counts on real servers.

A request is a command sent by a client; what a script calls inside does not count.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.contract.lock_place import until
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType

SCRIPTS = ("evalsha", "eval")


class Process:
    """A backend with a session of its own, and its locks, all warmed up."""

    def __init__(self, backend: Backend, locks: LockManager) -> None:
        self.backend = backend
        self.locks = locks

    @property
    def requests(self) -> int:
        return self.backend.wire.calls.stats().requests

    @property
    def writes(self) -> int:
        return self.backend.wire.calls.stats().writes


NewProcess = Callable[[], Awaitable[Process]]


@pytest.fixture
async def process(server: Server, namespace: str) -> AsyncIterator[NewProcess]:
    open_: list[Process] = []

    async def new() -> Process:
        backend = Backend(server.url, namespace=namespace)
        await backend.start()
        locks = LockManager.over(backend.wire, backend.session)
        await locks.start()
        open_.append(Process(backend, locks))
        async with locks.acquire_lock("warm-up", lock_type=LockType.SHARED):
            pass
        return open_[-1]

    yield new
    for one in open_:
        await one.locks.stop()
        await one.backend.stop()


@pytest.fixture
async def ann(process: NewProcess) -> Process:
    return await process()


def scripts_run(server: Server) -> int:
    stats = server.commandstats()
    return sum(stats.get(name, 0) for name in SCRIPTS)


def inner_calls(server: Server) -> dict[str, int]:
    """What scripts called inside, by command."""
    skipped = (*SCRIPTS, "info", "config", "ping")
    return {
        name: calls
        for name, calls in server.commandstats().items()
        if not name.startswith(skipped)
    }


async def waiting(process: Process, name: str, tasks: int) -> list[asyncio.Task[int]]:
    """Tasks that wait for a lock; each returns its token."""

    async def work() -> int:
        async with process.locks.acquire_lock(name) as grant:
            return grant.token

    before = process.locks.stats().waiting
    started = [asyncio.ensure_future(work()) for _ in range(tasks)]
    while process.locks.stats().waiting < before + tasks:
        await asyncio.sleep(0)
    await process.locks.explain(name)  # behind the ask on the same connection
    return started


async def test_an_uncontended_lock_is_one_request_to_take_and_one_to_give_back(
    server, ann
):
    before, writes = ann.requests, ann.writes
    server.reset_stats()

    async with ann.locks.acquire_lock("a"):
        assert ann.requests - before == 1
        assert ann.writes - writes == 1
        assert scripts_run(server) == 1

    assert ann.requests - before == 2
    assert ann.writes - writes == 2
    stats = server.commandstats()
    assert scripts_run(server) == 2
    assert "publish" not in stats
    assert "subscribe" not in stats


async def test_a_free_lock_takes_the_short_way_inside_the_server(server, ann):
    """What is not needed is not called: this is most of what a lock costs there."""
    async with ann.locks.acquire_lock("a"):
        pass
    server.reset_stats()

    block = ann.locks.acquire_lock("a")
    await block.__aenter__()

    assert inner_calls(server) == {
        **dict.fromkeys(("time", "zscore", "hmget", "exists", "hset", "sadd"), 1),
        "persist": 1,
    }
    server.reset_stats()

    await block.__aexit__(None, None, None)

    assert inner_calls(server) == dict.fromkeys(
        ("hmget", "exists", "hdel", "pexpireat", "srem"), 1
    )


async def test_a_handover_takes_the_short_way_inside_the_server(server, ann, process):
    bob = await process()
    async with ann.locks.acquire_lock("a"):
        (task,) = await waiting(bob, "a", 1)
        done = asyncio.Event()
        bob_leaves = bob.locks._desk.give_back

        async def later(hold: object) -> object:
            await done.wait()
            return await bob_leaves(hold)

        bob.locks._desk.give_back = later
        server.reset_stats()

    assert inner_calls(server) == {
        **dict.fromkeys(("hmget", "exists", "zrange", "hget", "zscore", "time"), 1),
        **dict.fromkeys(("hset", "publish", "zrem", "srem"), 1),
        "hdel": 2,
    }
    done.set()
    await task


async def test_the_first_lock_of_a_session_joins_and_subscribes_once(server, namespace):
    async with Backend(server.url, namespace=namespace) as backend:
        locks = LockManager.over(backend.wire, backend.session)
        await locks.start()
        server.reset_stats()
        for name in "abc":
            async with locks.acquire_lock(name):
                pass

        stats = server.commandstats()
        assert stats["subscribe"] == 1
        # join, and three times acquire and leave; a script that is new to the server
        # is sent twice.
        assert scripts_run(server) <= 7 + 3
        await locks.stop()


async def test_entering_again_costs_no_request(ann):
    async with ann.locks.acquire_lock("a", LockType.REENTRANT):
        before = ann.requests
        async with ann.locks.acquire_lock("a", LockType.REENTRANT):
            pass

        assert ann.requests == before


async def test_trying_a_lock_that_is_held_here_costs_no_request(ann):
    async with ann.locks.acquire_lock("a"):
        before = ann.requests

        for owner in ("", "somebody else"):
            with pytest.raises(LockNotGranted):
                async with ann.locks.acquire_lock("a", wait_s=0, owner=owner):
                    pass

        assert ann.requests == before


async def test_a_handover_is_the_one_request_that_gives_back(server, ann, process):
    """Ten processes wait; one is granted and told, and nobody else is woken."""
    others = [await process() for _ in range(10)]
    async with ann.locks.acquire_lock("a"):
        tasks = [(await waiting(other, "a", 1))[0] for other in others]
        before = [other.requests for other in others]
        server.reset_stats()

    tokens = await asyncio.gather(*tasks)

    stats = server.commandstats()
    assert scripts_run(server) == 11
    assert stats["publish"] == 10
    assert [
        other.requests - was for other, was in zip(others, before, strict=True)
    ] == ([1] * 10)
    assert tokens == sorted(tokens)


async def test_a_grant_is_two_requests_however_many_processes_want_the_lock(
    server, process
):
    """One to ask and one to give back: nobody polls, and nobody is woken in vain."""
    processes = [await process() for _ in range(5)]
    before = [one.requests for one in processes]
    server.reset_stats()

    async def work(one: Process) -> None:
        for _ in range(20):
            async with one.locks.acquire_lock("a"):
                await asyncio.sleep(0)

    await asyncio.gather(*(work(one) for one in processes))

    assert [one.requests - was for one, was in zip(processes, before, strict=True)] == (
        [40] * 5
    )
    assert scripts_run(server) == 200


async def test_waiting_costs_no_requests(server, ann, process):
    others = [await process() for _ in range(5)]
    async with ann.locks.acquire_lock("a"):
        tasks = [task for other in others for task in await waiting(other, "a", 20)]
        before = [other.requests for other in others]
        server.reset_stats()

        heard = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, heard.set)
        await heard.wait()

        assert [other.requests for other in others] == before
        assert scripts_run(server) == 0
    await asyncio.gather(*tasks)


async def test_a_thousand_tasks_of_one_process_cost_seventy_requests_at_most(
    server, ann
):
    before = ann.requests
    server.reset_stats()

    async def work() -> int:
        async with ann.locks.acquire_lock("a") as grant:
            return grant.token

    tokens = await asyncio.gather(*(work() for _ in range(1000)))

    assert len(set(tokens)) == 1000
    assert sorted(tokens) == list(tokens)
    assert ann.requests - before <= 70
    assert scripts_run(server) == ann.requests - before


async def test_giving_back_and_asking_anew_leave_in_one_write(ann):
    tasks = []
    async with ann.locks.acquire_lock("a", timeout_s=60):
        tasks = await waiting(ann, "a", 1)
        before, writes = ann.requests, ann.writes

    await asyncio.gather(*tasks)

    assert ann.requests - before == 3
    assert ann.writes - writes == 2


async def test_locks_that_are_taken_at_once_leave_in_one_write(ann):
    before, writes = ann.requests, ann.writes
    inside = asyncio.Barrier(30)

    async def work(number: int) -> None:
        async with ann.locks.acquire_lock(f"a{number}"):
            await inside.wait()

    await asyncio.gather(*(work(number) for number in range(30)))

    assert ann.requests - before == 60
    assert ann.writes - writes == 2


async def test_asking_who_holds_a_lock_is_one_request(ann):
    await ann.locks.explain("a")
    await ann.locks.ls()
    before = ann.requests

    await ann.locks.explain("a")
    await ann.locks.ls()
    ann.locks.holders()
    ann.locks.stats()

    assert ann.requests - before == 2


async def test_ten_thousand_held_locks_are_renewed_by_one_request(server, namespace):
    # A long ttl: on a busy machine the keeper may come late; that is not asked here.
    terms = LeaseTerms(ttl_s=10.0, renew_every_s=0.3, retry_every_s=0.3)
    async with Backend(server.url, namespace=namespace, terms=terms) as backend:
        locks = LockManager.over(backend.wire, backend.session, LockConfig())
        await locks.start()
        blocks = [locks.acquire_lock(f"a{number}") for number in range(10_000)]
        grants = await asyncio.gather(*(block.__aenter__() for block in blocks))
        renewed, done = backend.session.renewed, itertools.count(1)
        renewals = 0

        def counted(member, asked_at):
            nonlocal renewals
            renewed(member, asked_at)
            renewals = next(done)

        backend.session.renewed = counted
        server.reset_stats()

        await until(lambda: renewals >= 4, within_s=20.0)

        # One may just have been under way at either end.
        assert abs(scripts_run(server) - renewals) <= 1
        for grant in grants:
            grant.check()
        await asyncio.gather(*(block.__aexit__(None, None, None) for block in blocks))
        await locks.stop()
