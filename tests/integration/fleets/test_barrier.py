"""How many replicas have it: never more than really have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.crc import key_slot
from tests.fleets import QUICK_REPLICATION, StartCluster, until
from tests.integration.fleets.load import script
from tests.servers import KINDS, Server, Servers, ServerSettings, StartServer

import quorate.wire.barrier as barrier_module
from quorate.core.errors import InvalidInput, OutcomeUnknown, StoreRefused
from quorate.wire.barrier import Barrier
from quorate.wire.redis import Wire, open_wire
from quorate.wire.sessions import RedisSessions

pytestmark = pytest.mark.fleet

ONCE = script("return redis.call('SETNX', KEYS[1], ARGV[1])")
COUNT = script("return redis.call('INCR', KEYS[1])")
FAILS = script("return redis.error_reply('OOM no memory')")


def start_pair(start: Callable[[], Server]) -> list[Server]:
    """A master and its replica."""
    master, replica = start(), start()
    replica.admin.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
    until(
        "replication",
        lambda: master.info("replication").get("slave0", {}).get("state") == "online",
    )
    return [master, replica]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, servers: Servers) -> list[Server]:
    """A master and its replica that tests share; they let the replica go on."""
    settings = ServerSettings(kind=request.param, options=QUICK_REPLICATION)
    return start_pair(lambda: servers.start(settings))


@pytest.fixture
def key(namespace: str) -> str:
    return f"{{{namespace}}}:n"


@pytest.fixture
async def wire(pair: list[Server], namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(pair[0].url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
async def barrier(wire: Wire) -> AsyncIterator[Barrier]:
    barrier = wire.new_barrier()
    yield barrier
    await barrier.close()


async def test_it_counts_the_replicas_that_have_it_in_one_round_trip(
    pair: list[Server], barrier: Barrier, key: str
) -> None:
    first = await barrier.call(COUNT, [key], [], replicas=1, within_s=2)
    [line] = barrier._idle[""]
    before = line.stats()

    second = await barrier.call(COUNT, [key], [], replicas=1, within_s=2)

    after = line.stats()
    assert (first.reply, first.replicas) == (1, 1)
    assert (second.reply, second.replicas) == (2, 1)
    assert pair[1].admin.get(key) == b"2"
    assert after.writes - before.writes == 1
    assert after.connections == 1


async def test_a_replica_that_stands_still_is_not_counted(
    pair: list[Server], barrier: Barrier, key: str
) -> None:
    await barrier.call(COUNT, [key], [], replicas=1, within_s=2)
    pair[1].pause()

    began = time.monotonic()
    confirmed = await barrier.call(COUNT, [key], [], replicas=1, within_s=0.2)

    assert (confirmed.reply, confirmed.replicas) == (2, 0)
    assert 0.2 <= time.monotonic() - began < 0.5
    assert pair[0].admin.get(key) == b"2"
    pair[1].resume()


async def what_is_said_of_a_repeated_call(replica: Server, wire: Wire) -> int:
    """It was done over another connection, and the replica has not got it."""
    barrier, key = wire.new_barrier(), f"{wire.keys.tag}:n"
    replica.pause()
    await wire.calls.call(ONCE, [key], ["first"])

    repeated = await barrier.call(ONCE, [key], ["second"], replicas=1, within_s=0.2)

    replica.resume()
    await barrier.close()
    assert repeated.reply == 0
    return repeated.replicas


async def test_a_repeated_call_that_writes_nothing_waits_for_the_first_one(
    pair: list[Server], wire: Wire
) -> None:
    assert await what_is_said_of_a_repeated_call(pair[1], wire) == 0


async def test_without_its_own_write_it_would_count_what_no_replica_has(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug. Valkey 9 goes by what this very connection has written."""
    pack = barrier_module.pack
    monkeypatch.setattr(
        barrier_module,
        "pack",
        lambda *words: pack("PING") if words[0] == "SET" else pack(*words),
    )
    master, replica = start_pair(lambda: start_server(options=QUICK_REPLICATION))
    wire = await open_wire(master.url)

    assert await what_is_said_of_a_repeated_call(replica, wire) == 1
    await wire.stop()


async def test_a_script_that_the_server_forgot_is_sent_whole_and_waited_for(
    pair: list[Server], barrier: Barrier, key: str
) -> None:
    for expected in (1, 2):
        pair[0].admin.script_flush()
        confirmed = await barrier.call(COUNT, [key], [], replicas=1, within_s=2)
        assert (confirmed.reply, confirmed.replicas) == (expected, 1)


async def test_what_the_script_refuses_is_raised(barrier: Barrier, key: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        await barrier.call(FAILS, [key], [], replicas=1, within_s=2)

    assert refused.value.code == "OOM"


async def test_one_that_waits_keeps_nobody_else_waiting(
    pair: list[Server], wire: Wire, barrier: Barrier, key: str
) -> None:
    pair[1].pause()
    slow = [
        asyncio.create_task(barrier.call(COUNT, [key], [], replicas=1, within_s=1))
        for _ in range(5)
    ]
    began = time.monotonic()
    while int(await wire.calls.command("GET", key) or 0) < 5:
        await wire.clock.sleep(0.005)
    took_s = time.monotonic() - began

    assert took_s < 0.5
    assert not any(task.done() for task in slow)
    pair[1].resume()
    assert [one.replicas for one in await asyncio.gather(*slow)] == [1] * 5


async def test_a_master_that_dies_meanwhile_leaves_no_doubt_unsaid(
    start_server: StartServer, key: str
) -> None:
    master = start_server()
    wire = await open_wire(master.url)
    barrier = wire.new_barrier()
    await barrier.call(COUNT, [key], [], replicas=1, within_s=0.01)
    master.pause()
    waiting = asyncio.create_task(
        barrier.call(COUNT, [key], [], replicas=1, within_s=2)
    )
    await asyncio.sleep(0.05)

    master.kill()

    with pytest.raises(OutcomeUnknown):
        await waiting
    await barrier.close()
    await wire.stop()


async def test_nothing_to_wait_for_is_refused(barrier: Barrier, key: str) -> None:
    for replicas, within_s in ((0, 1.0), (1, 0.0)):
        with pytest.raises(InvalidInput):
            await barrier.call(COUNT, [key], [], replicas=replicas, within_s=within_s)


async def test_on_a_cluster_it_goes_where_the_slot_is(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(replicas=1)
    wire = await open_wire(cluster.url)
    barrier = wire.new_barrier()
    tags = wire.keys.lock_tags[:20]

    confirmed = [
        await barrier.call(COUNT, [f"{tag}:n"], [], replicas=1, within_s=2)
        for tag in tags
    ]

    assert [(one.reply, one.replicas) for one in confirmed] == [(1, 1)] * len(tags)
    assert len(barrier._idle) == 3
    sessions = RedisSessions(wire.calls)
    assert await sessions.join(tags[0], "a", 1000)
    await barrier.close()
    await wire.stop()


async def test_on_a_cluster_it_follows_a_slot_that_moves(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(replicas=1)
    wire = await open_wire(cluster.url)
    barrier = wire.new_barrier()
    tag = wire.keys.lock_tags[0]
    await barrier.call(COUNT, [f"{tag}:n"], [], replicas=1, within_s=2)
    source = cluster.owner(f"{tag}:n")
    to = next(master for master in cluster.masters if master is not source)

    await cluster.move(key_slot(tag.encode()), to)
    confirmed = await barrier.call(COUNT, [f"{tag}:n"], [], replicas=1, within_s=2)

    assert (confirmed.reply, confirmed.replicas) == (2, 1)
    await barrier.close()
    await wire.stop()
