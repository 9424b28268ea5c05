"""Calls over the nodes of a Cluster: where each goes, and that none is done twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot
from tests.unit.wire.cluster_stories import KEY, ONCE, STORIES, Story, ask
from tests.unit.wire.scripted_cluster import ScriptedCluster, name_of

from quorate.core.errors import InvalidInput, StoreRefused, StoreUnavailable
from quorate.wire.cluster_calls import ClusterCalls
from quorate.wire.slots import guard_of


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    async with ScriptedCluster(3) as cluster:
        yield cluster


@pytest.fixture
async def calls(cluster: ScriptedCluster) -> AsyncIterator[ClusterCalls]:
    calls = cluster.calls(5.0)
    yield calls
    await calls.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_holds_that(
    story: Story, cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    await story(cluster, calls)


async def test_calls_of_one_tick_leave_in_one_write_a_node(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    keys = [f"{{{n}}}:S" for n in range(60)]
    await asyncio.gather(*(ask(calls, "warm", key) for key in keys))
    before = calls.stats()

    await asyncio.gather(*(ask(calls, "x", key) for key in keys))

    after = calls.stats()
    assert after.requests - before.requests == 60
    assert after.writes - before.writes == 3
    assert (after.connections, after.pending) == (3, 0)
    assert calls.is_connected


async def test_every_script_declares_a_key_that_nobody_writes(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    await calls.call(ONCE, [KEY, "{a}:b"], ["x"])

    [(_, command)] = cluster.done
    assert command[2:6] == [b"3", b"{a}:S", b"{a}:b", b"{a}:?"]
    assert guard_of(KEY) == "{a}:?"


async def test_a_script_without_a_key_is_refused_before_it_is_sent(
    calls: ClusterCalls,
) -> None:
    with pytest.raises(InvalidInput, match="has no key"):
        await calls.call(ONCE, [], [])


async def test_a_plain_command_goes_by_its_first_word_with_a_tag(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    await calls.command("SET", "{a}:x", "{b}")
    await calls.command("ECHO", "anywhere")

    assert cluster.done[0][0] is cluster.owner("{a}:x")
    assert len(cluster.done) == 2


async def test_a_plain_error_of_a_node_is_the_callers(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    cluster.answer = lambda *_: b"-OOM no memory\r\n"

    with pytest.raises(StoreRefused) as refused:
        await ask(calls, "x")

    assert refused.value.code == "OOM"
    assert len(cluster.done) == 1


async def test_a_slot_in_between_is_waited_for_up_to_the_deadline(
    cluster: ScriptedCluster,
) -> None:
    calls = cluster.calls(0.3)
    cluster.unstable.add(key_slot(KEY.encode()))
    began = time.monotonic()

    with pytest.raises(StoreUnavailable, match="is being moved"):
        await ask(calls, "x")

    assert 0.25 < time.monotonic() - began < 1.0
    assert len(cluster.heard(b"EVALSHA")) < 20
    await calls.close()


async def test_nodes_that_point_at_each_other_are_not_followed_for_ever(
    cluster: ScriptedCluster,
) -> None:
    calls = cluster.calls(0.3)
    slot, (first, second, _) = key_slot(KEY.encode()), cluster.nodes
    for node, other in ((first, second), (second, first)):
        answer = node.answer

        def point(command, answer=answer, other=other):
            if command[0] == b"EVALSHA":
                return f"-MOVED {slot} {name_of(other)}\r\n".encode()
            return answer(command)

        node.answer = point
    cluster.owners[slot] = cluster.told[slot] = first

    with pytest.raises(StoreUnavailable, match="is being moved"):
        await ask(calls, "x")

    await calls.close()


async def test_a_cluster_that_is_down_says_so(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    cluster.answer = lambda *_: b"-CLUSTERDOWN The cluster is down\r\n"

    with pytest.raises(StoreUnavailable) as refused:
        await ask(calls, "x")

    assert refused.value.why == "CLUSTERDOWN The cluster is down"


async def test_a_slot_that_nobody_serves_is_unavailable(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    calls.topology._open_calls = pytest.fail
    calls.topology._seeds = ()

    with pytest.raises(StoreUnavailable, match="No node of the Cluster is known"):
        await ask(calls, "x")


async def test_after_the_end_nothing_is_sent(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    await ask(calls, "x")
    await calls.close()
    await calls.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await ask(calls, "y")
    with pytest.raises(StoreUnavailable, match="closed"):
        await calls.topology.refresh()
