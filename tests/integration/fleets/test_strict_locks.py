"""A master that takes over without the last grants: who held them, holds them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.conftest import or_skip
from tests.contract.lock_place import Place, Process, in_line, until
from tests.faults.lock_bugs import make_wrong
from tests.fleets import Fleets, SentinelSet, StartCluster, StartSentinels
from tests.servers import Server, StartServer

import quorate.locks.redis as redis_locks
import quorate.locks.roll_call as roll_call
from quorate.core.errors import LockLostError, LockNotGranted, StoreError
from quorate.lease.lease import LeaseTerms
from quorate.locks.events import LocksReasserted
from quorate.locks.model import LockConfig
from quorate.wire.events import MasterSwitched

pytestmark = pytest.mark.fleet

TERMS = LeaseTerms(ttl_s=4.0, renew_every_s=0.4, retry_every_s=0.1)
QUICK = LeaseTerms(ttl_s=1.0, renew_every_s=0.25, retry_every_s=0.1)
STRICT = LockConfig(strict=True)
SWITCH_WITHIN_S = 10.0


@pytest.fixture
def fleet(start_sentinels: StartSentinels) -> SentinelSet:
    return start_sentinels(replicas=1)


@pytest.fixture
async def place(fleet: SentinelSet) -> AsyncIterator[Place]:
    place = Place(fleet.url, "shop")
    yield place
    await place.close()


async def fail_over(fleet: SentinelSet, *processes: Process) -> None:
    """The replica takes over with what it has."""
    await asyncio.to_thread(fleet.fail_over)
    fleet.reconnect_replicas()
    for process in processes:
        await process.heard(MasterSwitched, within_s=SWITCH_WITHIN_S)


async def take(process: Process, name: str) -> tuple[float, int]:
    """When it was granted, and its token; asks again while the server is away."""
    while True:
        try:
            async with process.locks.acquire_lock(name) as grant:
                return time.monotonic(), grant.token
        except StoreError:
            await asyncio.sleep(0.02)


async def test_a_hold_that_the_next_master_never_heard_of_is_taken_up_again(
    fleet: SentinelSet, place: Place
) -> None:
    first, second = await place.process(TERMS), await place.process(TERMS)
    for process in (first, second):
        await take(process, "warm")
    await asyncio.to_thread(fleet.master.admin.wait, 1, 2000)
    fleet.cut_off_replicas()

    async with first.locks.acquire_lock("a") as grant:
        await fail_over(fleet, first, second)
        told = await first.heard(LocksReasserted, within_s=5)

        [holder] = (await second.locks.explain("a")).holders
        assert (told.told, told.lost, holder.token) == (1, 0, grant.token)
        waiting = asyncio.create_task(take(second, "a"))
        await in_line(second, "a", 1)
        grant.check()
    assert (await waiting)[1] > grant.token


async def test_a_hold_that_was_given_back_unheard_is_given_back_again(
    fleet: SentinelSet, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_call, "STRAY_S", 0.4)
    monkeypatch.setattr(roll_call, "LOOKS_S", (0.0, 0.5, 1.0, 1.5))
    first, second = await place.process(TERMS), await place.process(TERMS)
    await take(second, "warm")
    async with first.locks.acquire_lock("a"):
        await asyncio.to_thread(fleet.master.admin.wait, 1, 2000)
        fleet.cut_off_replicas()

    await fail_over(fleet, first, second)

    async with asyncio.timeout(5):
        await take(second, "a")


def spare_the_first_wait(server: Server) -> None:
    """As if somebody had been strict here for long."""
    run = server.info("server")["run_id"]
    about = {"run": run, "until": 0, "ttl": round(TERMS.ttl_s * 1000)}
    server.admin.hset("{shop}:l:e", mapping=about)  # type: ignore[arg-type]


async def two_hold_it(fleet: SentinelSet, place: Place, config: LockConfig) -> float:
    """One whose claim was lost in a switch, and who is slow to say so, and another.

    Returns for how long both did.
    """
    if config.strict:
        spare_the_first_wait(fleet.master)
    first = await place.process(TERMS, config)
    second = await place.process(TERMS, config)
    for process in (first, second):
        await take(process, "warm")
    await asyncio.to_thread(fleet.master.admin.wait, 1, 2000)
    fleet.cut_off_replicas()
    taking: list[asyncio.Task[tuple[float, int]]] = []
    try:
        async with first.locks.acquire_lock("a"):
            await fail_over(fleet, first, second)
            began = time.monotonic()
            taking += [asyncio.create_task(take(second, name)) for name in "ab"]
            await asyncio.wait(taking[1:])
            if not taking[0].done():
                await in_line(second, "a", 1)
            left_at = time.monotonic()
    except LockLostError:
        # The switch may take longer than the session lives: then it is lost in time.
        left_at = time.monotonic()
    (taken_at, _), (free_at, _) = await asyncio.gather(*taking)
    if config.strict:
        assert free_at - began >= TERMS.ttl_s - 1.0
    return left_at - taken_at


async def test_strict_gives_nothing_away_before_all_holders_could_say_so(
    fleet: SentinelSet, place: Place
) -> None:
    assert await two_hold_it(fleet, place, STRICT) <= 0


async def test_without_it_whoever_comes_first_gets_it(
    fleet: SentinelSet, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `strict` is for; and the planted bug: a grace that is none."""
    monkeypatch.setattr(roll_call, "LOOKS_S", (1.0,))
    scripts = ("_ACQUIRE", "_LEAVE", "_CLEAN")
    for name in scripts:
        monkeypatch.setattr(redis_locks, name, getattr(redis_locks, name))
    make_wrong(redis_locks, scripts, "grace_ends = ends > now and ends", "")

    assert await two_hold_it(fleet, place, LockConfig()) >= 0


@pytest.fixture
async def alone(start_server: StartServer) -> AsyncIterator[tuple[Server, Place]]:
    server = start_server()
    place = Place(server.url, "shop")
    yield server, place
    await place.close()


async def test_a_server_that_was_started_again_grants_nothing_for_one_ttl(
    alone: tuple[Server, Place],
) -> None:
    server, place = alone
    began = time.monotonic()
    process = await place.process(QUICK, STRICT)
    with pytest.raises(LockNotGranted):
        async with process.locks.acquire_lock("a", wait_s=0):
            pytest.fail("it was let in")

    first_at, _ = await take(process, "a")
    again_at, _ = await take(process, "a")
    await asyncio.to_thread(server.kill)
    await server.restart()
    restarted = time.monotonic()
    later_at, _ = await take(process, "a")

    assert QUICK.ttl_s - 0.2 <= first_at - began <= QUICK.ttl_s + 1.0
    assert again_at - first_at < 0.5
    assert QUICK.ttl_s - 0.2 <= later_at - restarted <= QUICK.ttl_s + 1.5


async def test_who_is_not_strict_waits_where_somebody_is_and_so_on_a_cluster(
    fleets: Fleets, namespace: str
) -> None:
    cluster = or_skip(lambda what: fleets.shared(what), "cluster")
    place = Place(cluster.url, namespace)
    began = time.monotonic()
    await place.process(QUICK, STRICT)
    other = await place.process(QUICK)

    async with other.locks.semaphore("s", 1).acquire():
        semaphore_at = time.monotonic()
    async with other.locks.lock_all(other.names_of_one_tag("a", "b")):
        pass

    assert semaphore_at - began >= QUICK.ttl_s - 0.2
    await place.close()


async def test_a_master_of_a_cluster_that_takes_over_grants_nothing_for_one_ttl(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(replicas=1)
    place = Place(cluster.url, "shop")
    process = await place.process(QUICK, STRICT)
    tag = process.backend.wire.keys.lock_tag("a")
    await take(process, "a")
    before = cluster.owner(f"{tag}:S")
    after = cluster.replica_of(before)

    await asyncio.to_thread(
        after.admin.execute_command, "CLUSTER", "FAILOVER", "TAKEOVER"
    )
    switched = time.monotonic()
    # Until the former one hears of it, it grants as before: nobody can know better.
    await until(lambda: before.info("replication")["role"] == "slave")
    at, _ = await take(process, "a")

    assert at - switched >= QUICK.ttl_s - 0.3
    await place.close()
