"""Messages in a Cluster: a channel is heard where its slot is, and moves with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.unit.wire.scripted_cluster import ScriptedCluster
from tests.unit.wire.scripted_server import array, bulk, number

from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import ListenerFailed
from quorate.testing.heard import Heard
from quorate.wire.cluster_inbox import ClusterInbox
from quorate.wire.inbox import InboxLost, InboxRestored
from quorate.wire.topology import Topology

CHANNEL = "{a}:news"


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    async with ScriptedCluster(3) as cluster:
        yield cluster


@pytest.fixture
async def topology(cluster: ScriptedCluster) -> AsyncIterator[Topology]:
    topology = cluster.topology()
    yield topology
    await topology.close()


@pytest.fixture
async def inbox(
    cluster: ScriptedCluster, topology: Topology, heard: Heard
) -> AsyncIterator[ClusterInbox]:
    inbox = cluster.inbox(topology, heard.emit)
    await inbox.start()
    yield inbox
    await inbox.stop()


class Ear:
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def __call__(self, body: bytes) -> None:
        self.got.put_nowait(body)

    async def next(self) -> bytes:
        async with asyncio.timeout(2):
            return await self.got.get()


async def said(cluster: ScriptedCluster, body: bytes, channel: str = CHANNEL) -> int:
    """Publish as soon as somebody has subscribed at the owner."""
    async with asyncio.timeout(3):
        while not (reached := cluster.publish(channel, body)):
            await asyncio.sleep(0.01)
    return reached


async def test_each_channel_is_heard_at_its_node_over_one_connection(
    cluster: ScriptedCluster, inbox: ClusterInbox
) -> None:
    ears = {f"{{{n}}}:news": Ear() for n in range(30)}

    await asyncio.gather(*(inbox.subscribe(name, ear) for name, ear in ears.items()))
    for name in ears:
        assert cluster.publish(name, name.encode()) == 1

    for name, ear in ears.items():
        assert await ear.next() == name.encode()
    asked = [node for node, _ in cluster.heard(b"SSUBSCRIBE")]
    assert set(asked) == set(cluster.nodes)
    assert len(asked) == 30
    assert all(len(node.talks) <= 2 for node in cluster.nodes)


async def test_a_channel_moves_with_its_slot_and_everybody_is_told_to_look(
    cluster: ScriptedCluster, inbox: ClusterInbox
) -> None:
    ear, looked = Ear(), asyncio.Event()
    await inbox.subscribe(CHANNEL, ear)
    inbox.on_resync(looked.set)
    source, to = cluster.owner(CHANNEL), cluster.other(CHANNEL)

    cluster.move(CHANNEL, to)
    for talk in source.talks:
        if [b"SSUBSCRIBE", CHANNEL.encode()] in talk.heard:
            talk.send(array(bulk(b"sunsubscribe"), bulk(CHANNEL.encode()), number(0)))
    await said(cluster, b"after")

    assert await ear.next() == b"after"
    await asyncio.wait_for(looked.wait(), 2)


async def test_a_subscription_at_the_wrong_node_is_sent_on(
    cluster: ScriptedCluster, inbox: ClusterInbox, topology: Topology
) -> None:
    await topology.refresh()
    cluster.move(CHANNEL, cluster.other(CHANNEL))
    ear = Ear()

    # The map was asked for a moment ago: its place may be found a little later.
    with contextlib.suppress(StoreUnavailable):
        await inbox.subscribe(CHANNEL, ear)
    await said(cluster, b"hello")

    assert await ear.next() == b"hello"


async def test_a_node_that_hangs_up_is_called_again_and_missed_news_are_looked_for(
    cluster: ScriptedCluster, inbox: ClusterInbox, heard: Heard
) -> None:
    ear, looked = Ear(), asyncio.Event()
    await inbox.subscribe(CHANNEL, ear)
    inbox.on_resync(looked.set)

    for talk in cluster.owner(CHANNEL).talks:
        talk.reset()
    await heard(InboxLost)
    await heard(InboxRestored)

    await asyncio.wait_for(looked.wait(), 2)
    await said(cluster, b"again")
    assert await ear.next() == b"again"


async def test_the_channels_of_a_node_that_is_gone_move_to_its_heir(
    cluster: ScriptedCluster, inbox: ClusterInbox, heard: Heard
) -> None:
    ear, looked = Ear(), asyncio.Event()
    await inbox.subscribe(CHANNEL, ear)
    inbox.on_resync(looked.set)
    lost, heir = cluster.owner(CHANNEL), cluster.other(CHANNEL)

    await lost.stop_listening()
    for talk in lost.talks:
        talk.reset()
    await heard(InboxLost)
    cluster.take_over(lost, heir)

    await said(cluster, b"from the heir")
    assert await ear.next() == b"from the heir"
    await asyncio.wait_for(looked.wait(), 2)


async def test_who_subscribes_while_the_node_is_away_is_served_when_it_is_back(
    cluster: ScriptedCluster, inbox: ClusterInbox
) -> None:
    ear, looked = Ear(), asyncio.Event()
    inbox.on_resync(looked.set)
    away = cluster.owner(CHANNEL)
    await away.stop_listening()

    with pytest.raises(StoreUnavailable):
        await inbox.subscribe(CHANNEL, ear)
    await away.listen()
    await said(cluster, b"back")

    assert await ear.next() == b"back"
    await asyncio.wait_for(looked.wait(), 2)


async def test_who_has_unsubscribed_is_heard_of_no_more(
    cluster: ScriptedCluster, inbox: ClusterInbox
) -> None:
    first, second = Ear(), Ear()
    await inbox.subscribe(CHANNEL, first)
    await inbox.subscribe(CHANNEL, second)
    inbox.unsubscribe(CHANNEL, first)
    await said(cluster, b"for one")
    assert await second.next() == b"for one"

    inbox.unsubscribe(CHANNEL, second)
    inbox.unsubscribe(CHANNEL, second)
    inbox.unsubscribe("{b}:never", second)
    owner = cluster.owner(CHANNEL)
    await owner.until(lambda: [b"SUNSUBSCRIBE", CHANNEL.encode()] in owner.heard)

    assert first.got.empty()
    assert inbox._handlers == {}
    assert inbox._homeless == set()


async def test_a_refusal_is_the_subscribers(
    cluster: ScriptedCluster, inbox: ClusterInbox
) -> None:
    owner = cluster.owner(CHANNEL)
    answer = owner.answer
    owner.answer = lambda command: (
        b"-NOPERM no channels\r\n" if command[0] == b"SSUBSCRIBE" else answer(command)
    )

    with pytest.raises(StoreRefused, match="refused a subscription"):
        await inbox.subscribe(CHANNEL, Ear())


async def test_one_that_fails_to_look_harms_nobody_else(
    cluster: ScriptedCluster, inbox: ClusterInbox, heard: Heard
) -> None:
    looked = asyncio.Event()

    def fail() -> None:
        raise ValueError("no")

    await inbox.subscribe(CHANNEL, Ear())
    leave = inbox.on_resync(fail)
    inbox.on_resync(looked.set)
    for talk in cluster.owner(CHANNEL).talks:
        talk.reset()

    await asyncio.wait_for(looked.wait(), 3)
    failed = await heard(ListenerFailed)
    leave()
    leave()

    assert failed.error == "ValueError: no"
