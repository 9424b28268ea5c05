"""A RabbitMQ in dictionaries: as much of it as the queue uses, without a connection.

Delays are over at once. What is not acknowledged goes back when its channel closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp import commands as spec
from pamqp.header import ContentHeader

from quorate.core.clock import Chance
from quorate.core.errors import StoreUnavailable
from quorate.testing.clock import ManualClock
from quorate.wire.limits import WireLimits
from quorate.wire.rabbit_publisher import Publisher
from quorate.wire.rabbit_sessions import RabbitSessions, Roll


@dataclass
class Waiting:
    """A message in a queue."""

    properties: spec.Basic.Properties
    body: bytes
    returns: int = 0


@dataclass
class FakeQueue:
    arguments: dict[str, object]
    messages: deque[Waiting] = field(default_factory=deque)
    consumers: dict[str, tuple[FakeWire, Callable]] = field(default_factory=dict)


class FakeServer:
    """The broker."""

    def __init__(self) -> None:
        self.queues: dict[str, FakeQueue] = {}
        self.exchanges: list[str] = []
        self.bound: list[tuple[str, str, str]] = []
        self.refuses = False
        self.asked: list[str] = []

    def deliver(self, name: str) -> None:
        """Give a queue's consumers what they have room for."""
        queue = self.queues[name]
        for tag, (wire, come) in tuple(queue.consumers.items()):
            while queue.messages and len(wire.unsettled) < wire.prefetch:
                message = wire.take(name, queue.messages.popleft(), tag)
                wire.later.append((come, message))

    async def settle(self) -> None:
        """Let what was sent arrive."""
        for queue in tuple(self.queues):
            self.deliver(queue)
        for queue in self.queues.values():
            for wire, _ in tuple(queue.consumers.values()):
                while wire.later:
                    come, message = wire.later.pop(0)
                    await come(message)


class FakeWire:
    """A channel as aiormq has it."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.prefetch = 0
        self.number = 0
        self.later: list[tuple[Callable, DeliveredMessage]] = []
        self.unsettled: dict[int, tuple[str, Waiting]] = {}
        self.on_consumer_cancel_callbacks: set[Callable] = set()
        self.is_closed = False

    async def basic_qos(self, prefetch_count: int) -> None:
        self._check()
        self.prefetch = prefetch_count

    async def basic_consume(self, queue: str, come: Callable) -> SimpleNamespace:
        self._check()
        tag = f"tag{len(self.server.asked)}"
        self.server.asked.append(queue)
        if queue not in self.server.queues:
            raise aiormq.exceptions.ChannelNotFoundEntity(404, queue)
        self.server.queues[queue].consumers[tag] = (self, come)
        self.server.deliver(queue)
        return SimpleNamespace(consumer_tag=tag)

    async def basic_cancel(self, tag: str) -> None:
        self._check()
        for queue in self.server.queues.values():
            queue.consumers.pop(tag, None)

    async def basic_ack(self, tag: int, wait: bool = True) -> None:
        self._check()
        self.unsettled.pop(tag, None)

    async def basic_nack(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        self._check()
        assert multiple
        assert requeue
        for each in sorted(self.unsettled, reverse=True):
            if each <= tag:
                name, waiting = self.unsettled.pop(each)
                self.server.queues[name].messages.appendleft(waiting)

    async def basic_get(self, queue: str) -> DeliveredMessage:
        self._check()
        messages = self.server.queues[queue].messages
        if not messages:
            return DeliveredMessage(spec.Basic.GetEmpty(), ContentHeader(), b"", self)
        return self.take(queue, messages.popleft(), None)

    async def basic_publish(
        self, body, *, exchange, routing_key, properties, mandatory, wait
    ):
        self._check()
        name = routing_key.split(".", 28)[-1] if exchange else routing_key
        queue = self.server.queues.get(name)
        if queue is None and not mandatory:
            return spec.Basic.Ack()
        if queue is None:
            returned = spec.Basic.Return(312, "NO_ROUTE", "", name)
            raise aiormq.exceptions.PublishError(
                DeliveredMessage(returned, ContentHeader(), b"", self), returned
            )
        if self.server.refuses:
            return spec.Basic.Nack()
        queue.messages.append(Waiting(properties, body))
        return spec.Basic.Ack()

    async def queue_declare(
        self, name, *, durable=False, passive=False, arguments=None
    ):
        self._check()
        queue = self.server.queues.get(name)
        if passive:
            if queue is None:
                raise aiormq.exceptions.ChannelNotFoundEntity(404, name)
            return SimpleNamespace(
                message_count=len(queue.messages), consumer_count=len(queue.consumers)
            )
        if queue is not None and queue.arguments != arguments:
            raise aiormq.exceptions.ChannelPreconditionFailed(406, name)
        if queue is None:
            self.server.queues[name] = FakeQueue(arguments)
        return SimpleNamespace(message_count=0, consumer_count=0)

    async def exchange_declare(self, name, **_):
        self.server.exchanges.append(name)

    async def queue_bind(self, queue, exchange, key):
        self.server.bound.append((queue, exchange, key))

    async def exchange_bind(self, destination, source, key):
        self.server.bound.append((destination, source, key))

    def take(self, queue: str, waiting: Waiting, tag: str | None) -> DeliveredMessage:
        self.number += 1
        self.unsettled[self.number] = (queue, waiting)
        properties = replace_headers(waiting)
        frame = (
            spec.Basic.Deliver(tag, self.number)
            if tag
            else spec.Basic.GetOk(self.number)
        )
        header = ContentHeader(properties=properties)
        return DeliveredMessage(frame, header, waiting.body, self)

    def give_back(self) -> None:
        """The channel is over."""
        self.is_closed = True
        for queue in self.server.queues.values():
            for tag, (wire, _) in tuple(queue.consumers.items()):
                if wire is self:
                    del queue.consumers[tag]
        for name, waiting in reversed(tuple(self.unsettled.values())):
            if name in self.server.queues:
                returned = replace(waiting, returns=waiting.returns + 1)
                self.server.queues[name].messages.appendleft(returned)
        self.unsettled.clear()
        self.later.clear()

    def _check(self) -> None:
        if self.is_closed:
            raise aiormq.exceptions.ChannelInvalidStateError("closed")


def replace_headers(waiting: Waiting) -> spec.Basic.Properties:
    given = waiting.properties or spec.Basic.Properties()
    headers = dict(given.headers or {})
    if waiting.returns:
        headers["x-delivery-count"] = waiting.returns
    return spec.Basic.Properties(message_id=given.message_id, headers=headers)


class FakeChannel:
    """A channel as aio-pika has it."""

    def __init__(self, wire: FakeWire) -> None:
        self.wire = wire
        self.close_callbacks: set[Callable] = set()

    @property
    def is_closed(self) -> bool:
        return self.wire.is_closed

    async def get_underlay_channel(self) -> FakeWire:
        return self.wire

    async def close(self) -> None:
        self.wire.give_back()


class FakeLine:
    """Satisfies what is used of a `Line`."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.generation = 1
        self.is_open = True
        self.channels: list[FakeChannel] = []
        self.told_open: list[Callable[[], None]] = []

    async def channel(self, *, confirms: bool = False) -> FakeChannel:
        if not self.is_open:
            raise self.away()
        channel = FakeChannel(FakeWire(self.server))
        self.channels.append(channel)
        return channel

    async def ready(self, within_s: float) -> bool:
        return self.is_open

    def on_open(self, told: Callable[[], None]) -> None:
        self.told_open.append(told)

    def trouble(self) -> StoreUnavailable:
        return self.away()

    def away(self, error: BaseException | None = None) -> StoreUnavailable:
        return StoreUnavailable("RabbitMQ is away.")

    def cut(self) -> None:
        """The connection breaks: every channel is over. The next one is there."""
        self.generation += 1
        channels, self.channels = self.channels, []
        for channel in channels:
            channel.wire.give_back()
            for told in tuple(channel.close_callbacks):
                told(channel, ConnectionError("cut"))


class Passing:
    """A clock that goes on by itself when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, delay_s: float) -> None:
        self.at += delay_s
        await asyncio.sleep(0)


class FakeRabbit:
    """Satisfies what the queue uses of a `RabbitWire`: one process."""

    scheme = "amqp"

    def __init__(self, server: FakeServer, clock: ManualClock) -> None:
        self.server = server
        self.clock = clock
        self.chance = Chance(1)
        self.limits = WireLimits()
        self.version = (3, 10, 8)
        self.tag = "t"
        self.roll = Roll()
        self.consuming = FakeLine(server)
        self.publishing = FakeLine(server)
        self.publisher = Publisher(self.publishing, self.limits, Passing())

    def sessions(self) -> RabbitSessions:
        return RabbitSessions(self.roll, self.clock, lambda: self.consuming.is_open)

    def give_up(self) -> None:
        self.roll.clear()
