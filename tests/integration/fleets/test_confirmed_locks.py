"""A grant counts only when replicas have it; otherwise nothing stays held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.conftest import or_skip
from tests.contract.lock_place import Place, Process, in_line, until
from tests.fleets import QUICK_REPLICATION, Fleets
from tests.fleets import until as comes_about
from tests.servers import Server, Servers, ServerSettings

import quorate.locks.redis as redis_locks
from quorate.core.errors import (
    LockLostError,
    LockNotGranted,
    MissingCapability,
    NotReplicated,
)
from quorate.lease.lease import LeaseTerms
from quorate.locks.model import LockConfig, LockType
from quorate.locks.returning import Returns
from quorate.wire.orders import Order

pytestmark = pytest.mark.fleet

NAME = "user:1"
TERMS = LeaseTerms(ttl_s=4.0, renew_every_s=1.0, retry_every_s=0.2)
WITHIN_S = 0.3
ONE = LockConfig(replicas=1, replicas_within_s=WITHIN_S)


class Replicated:
    """Masters with one replica each."""

    def __init__(self, url: str, masters: list[Server], replicas: list[Server]) -> None:
        self.url = url
        self.masters = masters
        self.replicas = replicas

    def pause(self) -> None:
        for replica in self.replicas:
            replica.pause()

    def resume(self) -> None:
        for replica in self.replicas:
            replica.resume()

    def has(self, servers: list[Server], key: str) -> bool:
        return any(found for each in servers for found in each.admin.keys(key))


@pytest.fixture(scope="module", params=["alone", "sentinel", "cluster"])
def fleet(
    request: pytest.FixtureRequest, servers: Servers, fleets: Fleets
) -> Iterator[Replicated]:
    """What tests share; they let the replica go on."""
    if request.param == "sentinel":
        sentinels = or_skip(lambda kind: fleets.sentinels(kind, replicas=1), "valkey")
        [replica] = sentinels.replicas
        yield Replicated(sentinels.url, [sentinels.master], [replica])
        sentinels.stop()
        return
    if request.param == "cluster":
        cluster = or_skip(lambda kind: fleets.cluster(kind, replicas=1), "valkey")
        masters = cluster.masters
        replicas = [cluster.replica_of(master) for master in masters]
        yield Replicated(cluster.url, masters, replicas)
        cluster.stop()
        return
    settings = ServerSettings(kind="valkey", options=QUICK_REPLICATION)
    master, replica = (servers.start(settings) for _ in range(2))
    replica.admin.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
    comes_about(
        "replication",
        lambda: master.info("replication").get("slave0", {}).get("state") == "online",
    )
    comes_about("a replica that answers", lambda: has_caught_up(master))
    yield Replicated(master.url, [master], [replica])


def has_caught_up(master: Server) -> bool:
    pipe = master.admin.pipeline(transaction=False)
    pipe.set("warm", 1).delete("warm").execute_command("WAIT", 1, 1000)
    return bool(pipe.execute()[-1] == 1)


@pytest.fixture
async def place(fleet: Replicated, namespace: str) -> AsyncIterator[Place]:
    place = Place(fleet.url, namespace)
    yield place
    fleet.resume()
    await place.close()


async def is_free(process: Process, name: str = NAME) -> bool:
    found = await process.locks.explain(name)
    return found.is_free and not found.waiters


async def test_a_grant_counts_when_a_replica_has_it_and_never_stays_held_without(
    fleet: Replicated, place: Place, namespace: str
) -> None:
    process = await place.process(TERMS, ONE)
    async with process.locks.acquire_lock(NAME) as grant:
        first = grant.token
        assert fleet.has(fleet.replicas, f"*{namespace}*:l:h:{NAME}")

    fleet.pause()
    began = time.monotonic()
    with pytest.raises(NotReplicated) as refused:
        async with process.locks.acquire_lock(NAME):
            pytest.fail("it was let in")
    took_s = time.monotonic() - began

    assert WITHIN_S <= took_s < WITHIN_S + 0.5
    assert await is_free(process)
    assert "0 of 1 replicas had it within 0.3 s" in str(refused.value)
    assert "INFO replication" in str(refused.value)
    async with process.locks.acquire_lock(NAME, replicas=0) as grant:
        assert grant.token > first

    fleet.resume()
    async with process.locks.acquire_lock(NAME, replicas=1):
        assert not await is_free(process)


async def test_a_turn_that_comes_later_is_confirmed_too(
    fleet: Replicated, place: Place
) -> None:
    first, second = await place.process(TERMS), await place.process(TERMS, ONE)

    async def wait() -> int:
        async with second.locks.acquire_lock(NAME) as grant:
            return grant.token

    async with first.locks.acquire_lock(NAME) as grant:
        waiting = asyncio.create_task(wait())
        await in_line(first, NAME, 1)
    assert await waiting > grant.token

    async with first.locks.acquire_lock(NAME):
        waiting = asyncio.create_task(wait())
        await in_line(first, NAME, 1)
        fleet.pause()
    with pytest.raises(NotReplicated):
        await waiting
    assert await is_free(first)


async def test_readers_semaphores_sets_and_upgrades_are_confirmed(
    fleet: Replicated, place: Place
) -> None:
    process = await place.process(TERMS, ONE)
    locks = process.locks
    names = process.names_of_one_tag(NAME, "user:2")
    async with locks.lock_all(names), locks.semaphore("s", 3).acquire():
        pass

    async with locks.acquire_lock(NAME, LockType.SHARED) as grant:
        fleet.pause()
        with pytest.raises(NotReplicated):
            await grant.upgrade()
        assert grant.lock_type is LockType.SHARED
        grant.check()
        with pytest.raises(NotReplicated):
            async with locks.lock_all(process.names_of_one_tag("user:3", "user:4")):
                pytest.fail("it was let in")
        fleet.resume()
        await grant.upgrade()
        assert grant.lock_type is LockType.EXCLUSIVE
    assert await locks.ls() == []


async def test_a_caller_that_is_cancelled_meanwhile_leaves_nothing_held(
    fleet: Replicated, place: Place
) -> None:
    process = await place.process(TERMS, LockConfig(replicas=1, replicas_within_s=3))
    async with process.locks.acquire_lock(NAME):
        pass
    fleet.pause()

    async def take() -> None:
        async with process.locks.acquire_lock(NAME):
            pytest.fail("it was let in")

    taking = asyncio.create_task(take())

    async def is_granted() -> bool:
        return not await is_free(process)

    await until(is_granted)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking

    await until(lambda: is_free(process))


async def left_held_when_it_fails(fleet: Replicated, place: Place) -> bool:
    process = await place.process(TERMS, ONE)
    async with process.locks.acquire_lock(NAME):
        pass
    fleet.pause()
    with pytest.raises((NotReplicated, LockNotGranted, LockLostError)):
        async with process.locks.acquire_lock(NAME):
            raise LockNotGranted("it was let in")
    return not await is_free(process)


@pytest.mark.parametrize("fleet", ["alone"], indirect=True)
async def test_who_does_not_give_back_would_leave_it_held(
    fleet: Replicated, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: the error alone ends nothing."""

    async def forget(self: Returns, claim: object) -> None:
        """Nothing."""

    monkeypatch.setattr(Returns, "now", forget)

    assert await left_held_when_it_fails(fleet, place)


@pytest.mark.parametrize("fleet", ["alone"], indirect=True)
async def test_waiting_on_the_connection_of_all_would_keep_everybody_waiting(
    fleet: Replicated, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: WAIT where all other calls go, too."""
    honest = await place.process(TERMS, LockConfig(replicas=1, replicas_within_s=0.8))
    async with honest.locks.acquire_lock(NAME):
        pass
    fleet.pause()

    assert await longest_call_beside(honest) < 0.4

    async def on_the_shared_one(wire, script, keys, args, confirm):  # type: ignore[no-untyped-def]
        calls = wire.calls
        reply = await calls.call(script, keys, args)
        waited = calls._send(
            b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$3\r\n800\r\n", Order("WAIT")
        )
        if int(await waited) < confirm.replicas:
            raise NotReplicated("too few")
        return reply

    monkeypatch.setattr(redis_locks, "call_confirmed", on_the_shared_one)
    assert await longest_call_beside(honest) > 0.6


async def longest_call_beside(process: Process) -> float:
    """While a lock waits for its replica, so long another call may take."""
    taking = asyncio.create_task(taken(process))
    longest = 0.0
    while not taking.done():
        began = time.monotonic()
        await process.backend.wire.calls.command("PING")
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.01)
    with pytest.raises(NotReplicated):
        await taking
    return longest


async def taken(process: Process) -> None:
    async with process.locks.acquire_lock(NAME):
        pytest.fail("it was let in")


@pytest.mark.parametrize("fleet", ["alone"], indirect=True)
async def test_in_time_of_peace_it_is_one_write_and_no_request_more(
    fleet: Replicated, place: Place
) -> None:
    process = await place.process(TERMS, ONE)
    async with process.locks.acquire_lock(NAME):
        pass
    [line] = process.backend.wire.barrier._idle[""]
    before, others = line.stats(), process.requests

    async with process.locks.acquire_lock(NAME):
        pass

    after = line.stats()
    assert after.writes - before.writes == 1
    assert after.requests - before.requests == 3
    assert process.requests - others == 1


async def test_where_there_are_no_replicas_it_is_refused(namespace: str) -> None:
    place = Place(f"memory://{namespace}", namespace)
    process = await place.process(TERMS, ONE)

    with pytest.raises(MissingCapability, match="has no replicas"):
        async with process.locks.acquire_lock(NAME):
            pytest.fail("it was let in")
    assert await is_free(process)
    await place.close()
