"""A Cluster whose slots move and whose masters die, while it is in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot
from tests.anywhere import publish
from tests.fleets import Cluster, StartCluster
from tests.integration.fleets.load import Load
from tests.servers import KINDS, Kind, Server, StartServer

from quorate.backend import Backend
from quorate.core.errors import (
    InvalidUrl,
    MissingCapability,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from quorate.lease.events import SessionLost
from quorate.lease.lease import LeaseTerms
from quorate.testing.heard import Heard
from quorate.wire.events import SlotsMoved
from quorate.wire.redis import Wire, WireLimits, open_wire
from quorate.wire.sessions import RedisSessions

pytestmark = pytest.mark.fleet

FAILOVER_WITHIN_S = 10.0
PART_BY_PART = {"cluster-require-full-coverage": "no"}
"""A slot without a master does not take the others with it."""


def in_one_stripe(wire: Wire, count: int) -> list[str]:
    """Keys of one stripe."""
    return [f"{wire.keys.lock_tags[0]}:test:{n}" for n in range(count)]


async def counted(wire: Wire, keys: list[str]) -> int:
    """How often one of the keys was counted up on the servers."""
    found = await asyncio.gather(*(wire.calls.command("GET", key) for key in keys))
    return sum(int(count or 0) for count in found)


def slot_of_stripe(wire: Wire) -> int:
    return key_slot(wire.keys.lock_tags[0].encode())


def elsewhere(cluster: Cluster, slot: int) -> Server:
    """A master that does not have this slot."""
    owner = cluster.owner(slot)
    return next(master for master in cluster.masters if master is not owner)


@pytest.fixture
async def wire(fleets, namespace: str, heard: Heard) -> AsyncIterator[Wire]:
    """A wire to the Cluster that tests share; they move slots back."""
    url = fleets.shared("cluster").url
    wire = await open_wire(url, namespace=namespace, emit=heard.emit)
    yield wire
    await wire.stop()


@pytest.fixture
def cluster(fleets) -> Cluster:
    return fleets.shared("cluster")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_slot_moves_under_load_and_nobody_gets_a_wrong_answer(
    kind: Kind, start_cluster: StartCluster
) -> None:
    cluster = start_cluster(kind)
    wire = await open_wire(cluster.url, namespace="shop")
    keys, slot = in_one_stripe(wire, 200), slot_of_stripe(wire)

    async with Load(wire.calls, keys) as load:
        await load.goes_on(400)
        for _ in range(5):
            await cluster.move(slot, elsewhere(cluster, slot), linger_s=0.05)
            await load.goes_on(400)

    print(f"{kind}: {load.answered} answers, longest gap {load.longest_gap_s:.3f} s")
    assert load.wrong == []
    assert load.failures == {}
    assert load.longest_gap_s <= 1.0
    assert await counted(wire, keys) == load.answered
    await wire.stop()


async def test_a_slot_that_moves_in_one_piece_is_followed_too(
    cluster: Cluster, wire: Wire
) -> None:
    """Valkey 9 moves slots as a whole; nobody is ever asked to ASK."""
    keys, slot = in_one_stripe(wire, 50), slot_of_stripe(wire)

    async with Load(wire.calls, keys) as load:
        await load.goes_on()
        for _ in range(2):
            await asyncio.to_thread(
                cluster.move_as_a_whole, slot, elsewhere(cluster, slot)
            )
            await load.goes_on()

    assert load.wrong == []
    assert load.failures == {}
    assert load.longest_gap_s <= 1.0
    assert await counted(wire, keys) == load.answered


async def test_a_move_that_takes_its_time_holds_calls_back_and_loses_none(
    cluster: Cluster, wire: Wire
) -> None:
    """Half of the keys are here, half are there: nobody may touch either half."""
    keys, slot = in_one_stripe(wire, 10), slot_of_stripe(wire)
    load = Load(wire.calls, keys, callers=8)
    async with load:
        await load.goes_on()
        source, to = cluster.owner(slot), elsewhere(cluster, slot)
        cluster.begin_move(slot, source, to)
        cluster.move_keys(source, to, [key.encode() for key in keys[:5]])
        before = load.answered
        await wire.clock.sleep(0.3)
        held_back = load.answered - before

        cluster.finish_move(slot, source, to)
        await load.goes_on()

    assert held_back <= 8
    assert load.wrong == []
    assert load.failures == {}
    assert await counted(wire, keys) == load.answered


async def test_a_move_that_never_ends_is_told_after_the_deadline(
    cluster: Cluster, namespace: str
) -> None:
    wire = Wire(cluster.url, namespace=namespace, limits=WireLimits(timeout_s=0.3))
    await wire.start()
    slot, [key] = slot_of_stripe(wire), in_one_stripe(wire, 1)
    sessions, tag = RedisSessions(wire.calls), wire.keys.lock_tags[0]
    await sessions.join(tag, "a", 60_000)
    source, to = cluster.owner(slot), elsewhere(cluster, slot)
    cluster.begin_move(slot, source, to)

    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"Slot {slot} .* is being moved"):
        await sessions.join(tag, "b", 60_000)

    assert 0.2 < time.monotonic() - began < 1.5
    cluster.finish_move(slot, source, to)
    assert await sessions.join(tag, "b", 60_000)
    assert key
    await wire.stop()


async def test_messages_follow_a_slot_that_moves(
    cluster: Cluster, wire: Wire, heard: Heard
) -> None:
    slot, tag = slot_of_stripe(wire), wire.keys.lock_tags[0]
    got: asyncio.Queue[bytes] = asyncio.Queue()
    looked = asyncio.Event()
    await wire.inbox.subscribe(f"{tag}:news", got.put_nowait)
    wire.inbox.on_resync(looked.set)
    assert await publish(wire, f"{tag}:news", "before") == 1

    await cluster.move(slot, elsewhere(cluster, slot))
    await asyncio.wait_for(looked.wait(), 3)
    heard_by = await publish(wire, f"{tag}:news", "after")

    assert heard_by == 1
    assert [await asyncio.wait_for(got.get(), 2) for _ in range(2)] == [
        b"before",
        b"after",
    ]
    await heard(SlotsMoved)
    await cluster.move(slot, elsewhere(cluster, slot))


@pytest.mark.parametrize("fault", ["kill", "pause"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_replica_takes_the_place_of_a_master_that_is_gone(
    kind: Kind, fault: str, start_cluster: StartCluster, heard: Heard
) -> None:
    cluster = start_cluster(kind, replicas=1, options=PART_BY_PART)
    wire = await open_wire(cluster.url, namespace="shop", emit=heard.emit)
    tags = wire.keys.lock_tags
    got: list[bytes] = []
    looked = asyncio.Event()
    for tag in tags:
        await wire.inbox.subscribe(f"{tag}:news", got.append)
    wire.inbox.on_resync(looked.set)
    struck = cluster.owner(f"{tags[0]}:a")
    hurt = [f"{tag}:a" for tag in tags if cluster.owner(f"{tag}:a") is struck]
    well = [f"{tag}:a" for tag in tags if cluster.owner(f"{tag}:a") is not struck]

    async with Load(wire.calls, hurt, 8) as load, Load(wire.calls, well, 8) as other:
        await asyncio.gather(load.goes_on(), other.goes_on())
        getattr(struck, fault)()
        await heard(SlotsMoved, within_s=FAILOVER_WITHIN_S)
        await asyncio.gather(load.goes_on(), other.goes_on())
        await asyncio.wait_for(looked.wait(), FAILOVER_WITHIN_S)
    async with asyncio.timeout(FAILOVER_WITHIN_S):
        while set(got) != {tag.encode() for tag in tags}:
            for tag in tags:
                await publish(wire, f"{tag}:news", tag)
            await wire.clock.sleep(0.05)

    print(
        f"{kind} {fault}: nobody answered for {load.longest_gap_s:.2f} s; "
        f"elsewhere {other.longest_gap_s:.2f} s"
    )
    assert load.wrong == other.wrong == []
    assert load.longest_gap_s < 6
    assert other.failures == {}
    assert other.longest_gap_s < 1
    await wire.stop()


async def test_a_master_without_a_replica_takes_only_its_own_slots_with_it(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(options=PART_BY_PART)
    wire = await open_wire(cluster.url, namespace="shop")
    tags = wire.keys.lock_tags
    struck = cluster.owner(tags[0])
    well = next(tag for tag in tags if cluster.owner(tag) is not struck)
    await RedisSessions(wire.calls).join(tags[0], "a", 60_000)

    struck.kill()
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        await wire.calls.command("INCR", f"{tags[0]}:n")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await wire.calls.command("INCR", f"{tags[0]}:n")

    assert time.monotonic() - began < 1
    assert await wire.calls.command("INCR", f"{well}:n") == 1
    await struck.restart()
    async with asyncio.timeout(10), Load(wire.calls, [f"{tags[0]}:n"], 1) as load:
        await load.goes_on(5)
    await wire.stop()


async def test_a_cluster_that_is_down_is_unavailable(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster()
    wire = await open_wire(cluster.url, namespace="shop")
    struck = cluster.owner(wire.keys.lock_tags[0])
    well = next(t for t in wire.keys.lock_tags if cluster.owner(t) is not struck)

    struck.kill()

    async with asyncio.timeout(10):
        said = ""
        while "CLUSTERDOWN" not in said:
            try:
                await wire.calls.command("INCR", f"{well}:n")
            except StoreUnavailable as error:
                said = error.why
            await wire.clock.sleep(0.02)
    await wire.stop()


async def test_a_session_in_every_stripe_is_renewed_in_one_write_a_node(
    wire: Wire,
) -> None:
    sessions, tags = RedisSessions(wire.calls), wire.keys.lock_tags
    await asyncio.gather(*(sessions.join(tag, "a", 60_000) for tag in tags))
    await asyncio.gather(*(sessions.renew(tag, "a", 60_000) for tag in tags))
    before = wire.calls.stats()

    renewed = await asyncio.gather(*(sessions.renew(t, "a", 60_000) for t in tags))

    after = wire.calls.stats()
    assert all(alive for alive, *_ in renewed)
    assert after.requests - before.requests == len(tags) == 64
    assert after.writes - before.writes == 3


async def test_a_process_that_lives_in_every_stripe_stays_alive_and_leaves_at_once(
    start_cluster: StartCluster, heard: Heard
) -> None:
    cluster = start_cluster(replicas=1)
    terms = LeaseTerms(ttl_s=9.0, renew_every_s=1.0, retry_every_s=0.2)
    backend = Backend(cluster.url, terms=terms, emit=heard.emit)
    await backend.start()
    tags = backend.wire.keys.lock_tags
    names = [await backend.session.join(tag) for tag in tags]
    struck = cluster.owner(tags[0])

    struck.pause()
    until = backend.clock.monotonic() + terms.ttl_s
    async with asyncio.timeout(2 * terms.ttl_s):
        while min(map(backend.session.trusted_until, tags)) < until:
            await backend.clock.sleep(0.05)

    assert [backend.session.name_in(tag) for tag in tags] == names
    assert heard.count(SessionLost) == 0
    began = time.monotonic()
    await backend.stop()
    assert time.monotonic() - began < 2.0
    other = await open_wire(cluster.url)
    dead = await asyncio.gather(*(RedisSessions(other.calls).dead(t) for t in tags))
    assert [found for [found] in dead] == names
    await other.stop()


async def test_who_counts_stripes_differently_is_refused(
    cluster: Cluster, wire: Wire, namespace: str
) -> None:
    with pytest.raises(StoreRefused) as refused:
        await open_wire(f"{cluster.url}?stripes=32", namespace=namespace)

    assert "has 64 stripes of locks, not 32" in str(refused.value)
    assert "?stripes=64" in refused.value.fix
    other = await open_wire(f"{cluster.url}?stripes=32", namespace=f"{namespace}-2")
    assert len(other.keys.lock_tags) == 32
    await other.stop()


async def test_one_node_that_evicts_is_enough_to_refuse_all(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(replicas=1)
    replica = cluster.replica_of(cluster.masters[-1])
    replica.admin.config_set("maxmemory-policy", "allkeys-lfu")

    with pytest.raises(StoreRefused, match="evicts keys"):
        await open_wire(cluster.url)


async def test_a_node_and_a_cluster_are_not_taken_for_one_another(
    cluster: Cluster, start_server: StartServer
) -> None:
    with pytest.raises(StoreRefused, match="one node of a Cluster"):
        await open_wire(cluster.servers[0].url)
    with pytest.raises(MissingCapability, match="is not a Cluster"):
        await open_wire(start_server().url.replace("redis:", "redis+cluster:")[:-2])
    with pytest.raises(InvalidUrl, match="one database"):
        Wire(f"{cluster.url}/1")


async def test_one_seed_that_answers_is_enough(cluster: Cluster) -> None:
    live = cluster.servers[0].url.removeprefix("redis://").removesuffix("/0")
    wire = await open_wire(f"redis+cluster://127.0.0.1:1,127.0.0.1:2,{live}")

    assert len(wire.calls.topology.map.owners) == 3  # type: ignore[attr-defined]
    await wire.stop()


async def test_a_password_is_given_to_every_node(start_cluster: StartCluster) -> None:
    cluster = start_cluster(password="secret")
    wire = await open_wire(cluster.url)

    for tag in wire.keys.lock_tags[:10]:
        assert await wire.calls.command("INCR", f"{tag}:n") == 1
    await wire.stop()


async def test_after_the_end_calls_are_refused(cluster: Cluster) -> None:
    wire = await open_wire(cluster.url)
    await wire.stop()
    await wire.stop()

    with pytest.raises(StoreUnavailable, match="closed"):
        await wire.calls.command("INCR", "{x}:n")
