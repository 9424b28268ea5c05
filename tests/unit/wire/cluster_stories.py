"""What calls to a Cluster must survive, told once.

`test_cluster_calls.py` tells it of the real thing, `test_cluster_planted_bugs.py` of
broken ones, on which each story must fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.crc import key_slot
from tests.unit.wire.scripted_cluster import ScriptedCluster, name_of
from tests.unit.wire.scripted_server import Command, ScriptedServer, echo
from tests.unit.wire.stories import a_script

from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.wire.cluster_calls import ClusterCalls

Story = Callable[[ScriptedCluster, ClusterCalls], Awaitable[None]]

KEY = "{a}:S"
ONCE = a_script(idempotent=False)
OFTEN = a_script(idempotent=True)


async def ask(calls: ClusterCalls, word: str, key: str = KEY) -> object:
    return await calls.call(ONCE, [key], [word])


async def each_call_goes_to_the_node_of_its_key(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    keys = [f"{{{n}}}:S" for n in range(60)]

    answers = await asyncio.gather(*(ask(calls, key, key) for key in keys))

    assert answers == [key.encode() for key in keys]
    assert len(cluster.done) == len(cluster.heard(b"EVALSHA")) == 60
    assert all(
        node is cluster.owner(command[3].decode()) for node, command in cluster.done
    )


async def a_moved_call_is_done_once_and_its_place_is_learnt(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    await ask(calls, "one")
    to = cluster.other(KEY)
    cluster.move(KEY, to)

    assert await ask(calls, "two") == b"two"
    before = sum(len(node.heard) for node in cluster.nodes)
    assert await ask(calls, "three") == b"three"

    assert [command[-1] for _, command in cluster.done] == [b"one", b"two", b"three"]
    asked = [command for _, command in cluster.heard(b"EVALSHA")]
    assert len(asked) == 4, "one is asked at the wrong place, and only one"
    assert sum(len(node.heard) for node in cluster.nodes) - before <= 2


async def what_is_asked_elsewhere_is_asked_right_after_asking(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    to = cluster.other(KEY)
    cluster.asks[key_slot(KEY.encode())] = to

    answers = await asyncio.gather(*(ask(calls, str(n)) for n in range(20)))

    assert answers == [str(n).encode() for n in range(20)]
    assert {name_of(node) for node, _ in cluster.done} == {name_of(to)}
    for at, command in enumerate(to.heard):
        if command[0] == b"EVALSHA":
            assert to.heard[at - 1] == [b"ASKING"]
    assert calls.topology.map.owner(key_slot(KEY.encode())) != name_of(to)


async def a_call_waits_while_its_slot_is_in_between(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    slot, owner = key_slot(KEY.encode()), cluster.owner(KEY)
    cluster.unstable.add(slot)
    waiting = asyncio.create_task(ask(calls, "patient"))
    await owner.until(lambda: len(cluster.heard(b"EVALSHA")) >= 3)
    assert not waiting.done()

    cluster.move(KEY, cluster.other(KEY))
    cluster.unstable.clear()

    assert await waiting == b"patient"
    assert len(cluster.done) == 1


async def what_is_lost_with_a_node_is_not_done_twice(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    """Only what may be repeated is sent to the heir."""
    lost, heir = cluster.owner(KEY), cluster.other(KEY)
    await ask(calls, "hello")

    def hang_up(node: ScriptedServer, command: Command) -> bytes | None:
        if node is lost:
            cluster.take_over(lost, heir)
            assert lost.asked is not None
            lost.asked.reset()
            return None
        return echo(command)

    cluster.answer = hang_up
    with pytest.raises(OutcomeUnknown):
        await ask(calls, "once")
    cluster.take_over(heir, lost)
    await calls.topology.refresh()

    assert await calls.call(OFTEN, [KEY], ["often"]) == b"often"
    words = [command[-1] for _, command in cluster.done]
    assert words.count(b"once") == 1
    assert words.count(b"often") == 2


async def a_node_that_is_gone_is_looked_for(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    lost, heir = cluster.owner(KEY), cluster.other(KEY)
    await ask(calls, "hello")
    await lost.stop_listening()
    lost.talk.reset()
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        await ask(calls, "too early")

    cluster.take_over(lost, heir)
    async with asyncio.timeout(3):
        while True:
            try:
                assert await ask(calls, "back") == b"back"
                break
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    assert cluster.done[-1][0] is heir


async def a_silent_node_that_has_lost_its_slots_is_left(
    cluster: ScriptedCluster, calls: ClusterCalls
) -> None:
    """Nobody waits for the deadline of five seconds."""
    lost, heir = cluster.owner(KEY), cluster.other(KEY)
    await ask(calls, "hello")
    lost.answers = False
    waiting = asyncio.create_task(ask(calls, "lost"))
    await lost.until(lambda: [c[-1] for c in lost.heard[-1:]] == [b"lost"])

    cluster.take_over(lost, heir)

    async with asyncio.timeout(3):
        with pytest.raises(OutcomeUnknown):
            await waiting
        assert await ask(calls, "back") == b"back"
    assert cluster.done[-1][0] is heir


STORIES: tuple[Story, ...] = (
    each_call_goes_to_the_node_of_its_key,
    a_moved_call_is_done_once_and_its_place_is_learnt,
    what_is_asked_elsewhere_is_asked_right_after_asking,
    a_call_waits_while_its_slot_is_in_between,
    what_is_lost_with_a_node_is_not_done_twice,
    a_node_that_is_gone_is_looked_for,
    a_silent_node_that_has_lost_its_slots_is_left,
)
