"""Messages out: new tasks, further copies of old ones, and dead letters.

Before the first message the queues are declared, and again after a connection was lost:
a broker that was replaced has none. Levels for delays are declared when a delay first
needs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiormq.abc import AbstractChannel as Wire

from quorate.core.errors import StoreRefused
from quorate.queue.ports import Parcel
from quorate.wire.rabbit import RabbitWire
from quorate.wire.rabbit_publisher import Message

from .asking import QUESTION_S, ask, declare
from .delays import (
    delivery_exchange,
    entry,
    lane_pattern,
    level,
    levels_needed,
    routing_key,
    whole_seconds,
)
from .letters import Record, fresh, properties_of
from .topology import Shape, Topology

T = TypeVar("T")
MOMENT_S = 0.01


class Sending:
    """What goes to the broker for one task queue."""

    def __init__(self, wire: RabbitWire, topology: Topology) -> None:
        self.topology = topology
        self._wire = wire
        self._generation = 0
        self._levels = 0
        self._declaring = asyncio.Lock()

    async def ensure(self, delay_s: int = 0) -> None:
        """The queues are there, and so are the levels that such a delay needs."""
        generation, needed = self._wire.publishing.generation, levels_needed(delay_s)
        if generation == self._generation and needed <= self._levels:
            return
        async with self._declaring:
            if generation != self._generation:
                self._levels = 0
                await self.ask(self._declare_lanes)
                self._generation = generation
            if needed > self._levels:
                await self.ask(lambda wire: self._declare_levels(wire, needed))
                self._levels = needed

    async def enqueue(self, parcels: Sequence[Parcel]) -> None:
        """Put new tasks in."""
        now_s = self._wire.clock.now()
        await self.publish(
            [
                (
                    each.lane,
                    delay_until(each.at, now_s, each.delay_s),
                    each.envelope,
                    fresh(each),
                )
                for each in parcels
            ]
        )

    async def copies(self, tasks: Sequence[tuple[str, Record, bytes, float]]) -> None:
        """Put further copies in: id, record, envelope, delay."""
        await self.publish(
            [
                (record.lane, delay_s, envelope, properties_of(task_id, record))
                for task_id, record, envelope, delay_s in tasks
            ]
        )

    async def publish(self, what: Sequence[tuple[int, float, bytes, object]]) -> None:
        """Lane, delay, body, properties; all of them or an error."""
        longest_s = max(
            (whole_seconds(delay_s) for _, delay_s, _, _ in what), default=0
        )
        await self.ensure(longest_s)
        messages = [self._message(*each) for each in what]
        try:
            await self._wire.publisher.publish(messages)
        except StoreRefused as error:
            if error.code != "NO_ROUTE":
                raise
            self._generation = 0
            await self.ensure(longest_s)
            await self._wire.publisher.publish(messages)

    async def bury(self, dead: Sequence[Message]) -> None:
        """Set tasks aside."""
        await self.ensure()
        await self._wire.publisher.publish(dead)

    async def depths(self) -> dict[str, int]:
        """Messages that wait, by queue of the broker; what is not there has none."""
        await self.ensure()
        names = [shape.name for shape in (*self.topology.lanes, self.topology.dead)]
        namespace = self.topology.namespace
        names += [level(namespace, index).queue for index in range(self._levels)]

        async def count(wire: Wire) -> dict[str, int]:
            found: dict[str, int] = {}
            for name in names:
                answer = await wire.queue_declare(name, passive=True)
                found[name] = answer.message_count or 0
            return found

        return await self.ask(count)

    async def pause(self) -> None:
        """Give the broker a moment."""
        await self._wire.clock.sleep(MOMENT_S)

    async def watched(self, name: str) -> tuple[int, int]:
        """How many messages wait in a queue of the broker, and how many consumers."""

        async def look(wire: Wire) -> tuple[int, int]:
            answer = await wire.queue_declare(name, passive=True)
            return answer.message_count or 0, answer.consumer_count or 0

        return await self.ask(look)

    async def ask(
        self, question: Callable[[Wire], Awaitable[T]], within_s: float = QUESTION_S
    ) -> T:
        """Let `question` use a channel of its own. Raises `StoreError`."""
        return await ask(self._wire, question, self.topology.queue, within_s)

    async def _declare_lanes(self, wire: Wire) -> None:
        topology = self.topology
        over = delivery_exchange(topology.namespace)
        await wire.exchange_declare(over, exchange_type="topic", durable=True)
        await declare(wire, topology.dead)
        for lane in topology.lanes:
            await declare(wire, lane)
            await wire.queue_bind(lane.name, over, lane_pattern(lane.name))

    async def _declare_levels(self, wire: Wire, needed: int) -> None:
        for index in range(self._levels, needed):
            each = level(self.topology.namespace, index)
            await wire.exchange_declare(
                each.exchange, exchange_type="topic", durable=True
            )
            await declare(wire, Shape(each.queue, each.arguments))
            await wire.queue_bind(each.queue, each.exchange, each.waits)
            await wire.exchange_bind(each.onward, each.exchange, each.passes)

    def _message(
        self, lane: int, delay_s: float, body: bytes, properties: object
    ) -> Message:
        name = self.topology.lanes[lane].name
        seconds = whole_seconds(delay_s)
        if not seconds:
            return Message(name, body, properties)  # type: ignore[arg-type]
        exchange = entry(self.topology.namespace, seconds)
        return Message(routing_key(seconds, name), body, properties, exchange)  # type: ignore[arg-type]


def delay_until(at: float | None, now_s: float, delay_s: float) -> float:
    """How long from now: until the wall time `at`, or else `delay_s`."""
    return delay_s if at is None else max(0.0, at - now_s)
