"""Who has which slot: asked around, learnt, doubted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot
from tests.unit.wire.scripted_cluster import ScriptedCluster, name_of
from tests.unit.wire.scripted_server import ScriptedServer

from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.wire.topology import FRESH_S, HEDGE_S, Topology


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    async with ScriptedCluster(3) as cluster:
        yield cluster


@pytest.fixture
async def topology(cluster: ScriptedCluster) -> AsyncIterator[Topology]:
    topology = cluster.topology()
    yield topology
    await topology.close()


async def test_the_map_is_asked_for_once_by_however_many(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    owners = await asyncio.gather(
        *(topology.owner(slot) for slot in range(0, 16000, 80))
    )

    assert set(owners) == set(cluster.names)
    assert len(cluster.heard(b"CLUSTER")) == 1
    assert topology.map.owners == set(cluster.names)


async def test_a_silent_node_keeps_nobody_waiting(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    cluster.nodes[0].answers = False
    began = time.monotonic()

    await topology.refresh()

    assert HEDGE_S * 0.9 < time.monotonic() - began < HEDGE_S + 0.5
    assert len(topology.map.owners) == 3


@pytest.mark.parametrize("which", range(3))
async def test_one_that_is_in_doubt_is_asked_last(
    which: int, cluster: ScriptedCluster, topology: Topology
) -> None:
    await topology.refresh()
    await asyncio.sleep(FRESH_S)
    cluster.nodes[which].answers = False
    topology._doubts.add(name_of(cluster.nodes[which]))
    began = time.monotonic()

    await topology.refresh()

    assert time.monotonic() - began < HEDGE_S * 0.9


async def test_the_last_node_that_answers_is_enough(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    for node in cluster.nodes[:2]:
        await node.stop_listening()

    await topology.refresh()

    assert len(topology.map.owners) == 3


async def test_without_any_node_it_is_unavailable(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    for node in cluster.nodes:
        await node.stop_listening()

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await topology.refresh()


async def test_a_server_that_is_no_cluster_says_so(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    for node in cluster.nodes:
        node.answer = lambda _: b"-ERR This instance has cluster support disabled\r\n"

    with pytest.raises(StoreRefused, match="answered with an error"):
        await topology.refresh()


async def test_one_who_waits_and_is_cancelled_costs_the_others_nothing(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    for node in cluster.nodes:
        node.answers = False
    first, second = [asyncio.create_task(topology.refresh()) for _ in range(2)]
    await cluster.nodes[0].hears(1)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    for node in cluster.nodes:
        node.answers = True
        for talk in node.talks:
            talk.send(cluster._slots())

    await second
    assert len(topology.map.owners) == 3


async def test_what_is_learnt_holds_until_the_map_comes_and_is_told(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    moved: list[int] = []
    topology.on_change(moved.append)
    await topology.refresh()
    slot, to = key_slot(b"{a}"), cluster.other("{a}")

    topology.learn(slot, name_of(to))
    topology.learn(slot, name_of(to))

    assert topology.map.owner(slot) == name_of(to)
    assert moved == [1]


async def test_in_doubt_it_asks_until_the_doubt_is_settled(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    await topology.refresh()
    lost, heir = cluster.nodes[0], cluster.nodes[1]
    await topology.node(name_of(lost)).command("ECHO", "hello")
    await lost.stop_listening()
    for talk in lost.talks:
        talk.reset()
    moved = asyncio.Event()
    topology.on_change(lambda _: moved.set())
    async with asyncio.timeout(1):
        while topology.node(name_of(lost)).is_connected:
            await asyncio.sleep(0.001)

    topology.doubt(name_of(lost))
    asked = len(cluster.heard(b"CLUSTER"))
    async with asyncio.timeout(3):
        while len(cluster.heard(b"CLUSTER")) <= asked + 1:
            await asyncio.sleep(0.01)
    cluster.take_over(lost, heir)
    await asyncio.wait_for(moved.wait(), 3)

    assert topology.map.owners == {name_of(n) for n in cluster.nodes[1:]}
    async with asyncio.timeout(2):
        while topology._doubts:
            await asyncio.sleep(0.01)


async def test_being_closed_while_it_asks_is_told_to_who_waits(
    cluster: ScriptedCluster, topology: Topology
) -> None:
    for node in cluster.nodes:
        node.answers = False
    waiting = asyncio.create_task(topology.refresh())
    await cluster.nodes[0].hears(1)

    await topology.close()

    with pytest.raises(StoreUnavailable, match="given up"):
        await waiting


async def test_a_node_without_an_address_is_the_one_that_was_asked(
    cluster: ScriptedCluster,
) -> None:
    from quorate.wire.fleet_urls import Spot
    from quorate.wire.slots import read_slots

    asked = Spot("10.0.0.7", 7000)
    rows = [
        [0, 9, [b"", 7001, b"id"], [None, 7003, b"id"]],
        [10, 19, [b"?", 7002, b"id"]],
        [30, 39, [b"::1", 7004, b"id"]],
    ]

    found = read_slots(rows, asked)

    assert found.owner(0) == "10.0.0.7:7001"
    assert found.owner(19) == "10.0.0.7:7002"
    assert found.owner(20) == ""
    assert found.owner(35) == "[::1]:7004"
    assert found.replicas == {"10.0.0.7:7003"}
    assert isinstance(cluster.nodes[0], ScriptedServer)
