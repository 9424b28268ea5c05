"""One queue on RabbitMQ as several processes see it, each with its own connections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakKeyDictionary

import aio_pika
from tests.contract.broker_place import CONFIG, QUEUE, Party

from quorate.core.events import silent
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.queue.hybrid.broker import HybridBroker
from quorate.queue.hybrid.queues import HybridQueues
from quorate.queue.model import QueueConfig
from quorate.queue.ports import Answer, Finished
from quorate.queue.rabbit.delays import level
from quorate.queue.rabbit.queues import RabbitQueues
from quorate.queue.rabbit.tap import Tap
from quorate.wire.rabbit import RabbitWire
from quorate.wire.redis import Wire, open_wire

SPACIOUS = replace(CONFIG, concurrency=256)
WITHIN_S = 5.0


class RabbitParty(Party):
    """One process. What the broker sends takes a moment: an exchange waits for it."""

    def __init__(
        self, wire: RabbitWire, name: str, config: QueueConfig = SPACIOUS
    ) -> None:
        self.sessions = wire.sessions()
        terms = LeaseTerms(ttl_s=30.0)
        session = Session(name, self.sessions, terms, silent, wire.clock)
        wire.on_session_gone(self._gone)
        self.settle_in(wire, session, RabbitQueues(wire, config, silent))

    @property
    def tag(self) -> str:
        return self.wire.tag

    @property
    def reception(self):
        return self.broker.reception

    async def exchange(self, most: int = 10, *finished: Finished, **how) -> Answer:
        if most:
            await self.reception.belong_to(await self.join())
            await self.reception.open()
            await self.quiet()
        return await super().exchange(most, *finished, **how)

    async def keys(self) -> set[str]:
        """The broker keeps messages, and no keys."""
        return set()

    async def quiet(self) -> None:
        """Until what the broker has for this process is here.

        A message that no longer waits in the broker's queue is on its way to whoever
        gets it, and an answer over the same channel overtakes none.
        """
        async with asyncio.timeout(WITHIN_S):
            while any([await self._waits_for(tap) for tap in self.reception.taps]):
                await asyncio.sleep(0.01)
            for tap in self.reception.taps:
                await tap.told()

    async def _waits_for(self, tap: Tap) -> bool:
        return tap.has_room and (await self.broker.sending.watched(tap.name))[0] > 0

    async def dies(self) -> None:
        """Its connection ends: the broker has given what it held to others.

        A queue does that in the same step in which it forgets the consumer.
        """
        watched = self.broker.sending.watched
        names = [tap.name for tap in self.reception.taps if tap.is_open]
        before = {name: (await watched(name))[1] for name in names}
        await self.wire.consuming._connection.close()
        async with asyncio.timeout(WITHIN_S):
            for name, consumers in before.items():
                while (await watched(name))[1] >= consumers:
                    await asyncio.sleep(0.005)

    def _gone(self, name: str) -> None:
        for member in self.session.memberships():
            if member.name == name:
                self.session.lost(member, "its connection broke")


class HybridParty(Party):
    """One process whose tasks travel over RabbitMQ and are kept in a Redis.

    What it enqueues is in Redis when `puts` returns, as if a worker had been there.
    """

    def __init__(self, wire: Wire, transport: RabbitWire, name: str, config) -> None:
        super().__init__(wire, name, config)
        queues = HybridQueues(self.queues, wire, transport, config, silent)
        self.settle_in(wire, self.session, queues)
        self.transport = transport

    async def puts(self, *args, **how) -> list[str]:
        ids = await super().puts(*args, **how)
        await self.arrived()
        return ids

    async def exchange(self, most: int = 10, *finished: Finished, **how) -> Answer:
        await self.arrived()
        return await super().exchange(most, *finished, **how)

    async def arrived(self) -> None:
        """Until everything that was sent is in Redis."""
        relay = self.broker.relay
        relay._ahead = 10_000
        if not relay.is_working:
            await self.broker.lanes.ensure()
            relay.begin(self.queues._tasks)
        way = f"{self.tag}:j:{QUEUE}:way"
        async with asyncio.timeout(WITHIN_S):
            while await self.wire.calls.command("EXISTS", way):
                await asyncio.sleep(0.005)


HYBRIDS: WeakKeyDictionary[Wire, RabbitParties] = WeakKeyDictionary()
"""Whose tasks travel over RabbitMQ, by the wire to where their state is."""


class RabbitParties:
    """All processes of one test, and what they leave behind."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._parties: list[RabbitParty] = []
        self._wires: list[RabbitWire | Wire] = []
        self._hybrids: list[HybridParty] = []

    async def party(self, name: str, config: QueueConfig = SPACIOUS) -> RabbitParty:
        wire = RabbitWire(self._url, namespace=self._namespace)
        await wire.start()
        self._wires.append(wire)
        self._parties.append(party := RabbitParty(wire, name, config))
        return party

    async def with_state(self, url: str) -> Wire:
        """All processes share a wire to this Redis."""
        self.wire = await open_wire(url, namespace=self._namespace)
        self._wires.append(self.wire)
        HYBRIDS[self.wire] = self
        return self.wire

    async def hybrid(self, name: str, config: QueueConfig = CONFIG) -> HybridParty:
        transport = RabbitWire(self._url, namespace=self._namespace)
        await transport.start()
        self._wires.append(transport)
        party = HybridParty(self.wire, transport, name, config)
        self._hybrids.append(party)
        return party

    async def delete_lanes(self, party: RabbitParty) -> None:
        """The lanes of a party's queue are gone, with what is in them."""
        topology = party.broker.sending.topology
        await delete(self._url, {shape.name for shape in topology.lanes})

    async def stop(self) -> None:
        """Close all connections, and delete what was made."""
        made: set[str] = set()
        for party in self._parties:
            made |= names_of(party.queues)
        for party in self._hybrids:
            await party.queues.stop()
            made |= names_of(party.queues)
        for wire in self._wires:
            await wire.stop()
        await delete(self._url, made)


def names_of(queues: RabbitQueues | HybridQueues) -> set[str]:
    """The broker's queues behind the task queues of one process."""
    names: set[str] = set()
    for broker in queues._brokers.values():
        if isinstance(broker, HybridBroker):
            names |= {shape.name for shape in broker.lanes.shapes}
            continue
        topology = broker.sending.topology
        names |= {shape.name for shape in (*topology.lanes, topology.dead)}
        levels = range(broker.sending._levels)
        names |= {level(topology.namespace, index).queue for index in levels}
    return names


async def delete(url: str, names: set[str]) -> None:
    """Remove queues of the broker, with what is in them."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        for name in names:
            await channel.queue_delete(name)
