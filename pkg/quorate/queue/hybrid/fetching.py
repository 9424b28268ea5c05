"""The queues of the broker that carry tasks to Redis: declared, filled, counted."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.errors import StoreRefused
from quorate.queue.model import LANES
from quorate.queue.ports import Parcel
from quorate.queue.rabbit.asking import Wire, ask, declare
from quorate.queue.rabbit.letters import fresh
from quorate.queue.rabbit.topology import relay_shape
from quorate.wire.rabbit import RabbitWire
from quorate.wire.rabbit_publisher import Message


class Lanes:
    """The three lanes of one task queue."""

    def __init__(self, wire: RabbitWire, queue: str) -> None:
        self._wire = wire
        self._queue = queue
        self._generation = 0
        self.shapes = tuple(
            relay_shape(wire.tag, queue, lane, wire.version) for lane in range(LANES)
        )

    async def ensure(self) -> None:
        """The queues are there."""
        generation = self._wire.publishing.generation
        if generation == self._generation:
            return

        async def make(wire: Wire) -> None:
            for shape in self.shapes:
                await declare(wire, shape)

        await ask(self._wire, make, self._queue)
        self._generation = generation

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Put tasks in; returns when the broker has them."""
        if not parcels:
            return
        messages = [
            Message(self.shapes[each.lane].name, each.envelope, fresh(each))
            for each in parcels
        ]
        await self.ensure()
        try:
            await self._wire.publisher.publish(messages)
        except StoreRefused as error:
            if error.code != "NO_ROUTE":
                raise
            self._generation = 0
            await self.ensure()
            await self._wire.publisher.publish(messages)

    async def depths(self) -> list[int]:
        """How many wait in each."""
        await self.ensure()

        async def count(wire: Wire) -> list[int]:
            answers = [
                await wire.queue_declare(shape.name, passive=True)
                for shape in self.shapes
            ]
            return [answer.message_count or 0 for answer in answers]

        return await ask(self._wire, count, self._queue)
