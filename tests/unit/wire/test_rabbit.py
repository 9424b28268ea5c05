"""The wire to a RabbitMQ: its two lines, its publisher and who lives on it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import ClassVar

import aio_pika
import aiormq
import pytest
from pamqp.commands import Basic
from tests.unit.queue.fake_rabbit import FakeLine, FakeQueue, FakeServer, Passing

from quorate.backend import Backend, Backends
from quorate.core.clock import Chance, SystemClock
from quorate.core.errors import (
    InvalidUrl,
    MissingCapability,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from quorate.core.lifecycle import Tasks
from quorate.wire.events import WireOpened
from quorate.wire.limits import WireLimits
from quorate.wire.rabbit import RabbitWire
from quorate.wire.rabbit_line import Line, LineBroken
from quorate.wire.rabbit_place import read_rabbit_url
from quorate.wire.rabbit_publisher import Message, Publisher

URL = "amqp://user:secret@h/shop"


class FakeConnection:
    """A connection as aio-pika has it."""

    said: ClassVar = {"product": "RabbitMQ", "version": "3.10.8"}

    def __init__(self) -> None:
        self.close_callbacks: set = set()
        self.closed = 0
        self.channels = 0
        self.takes_in = asyncio.Event()
        self.takes_in.set()
        inner = SimpleNamespace(server_properties=self.said, ready=self.takes_in.wait)
        self.transport = SimpleNamespace(connection=inner)

    async def close(self):
        self.closed += 1

    def channel(self, **how):
        self.channels += 1
        return SimpleNamespace(initialize=self._initialize, how=how)

    async def _initialize(self):
        if self.channels > 1:
            raise ConnectionError("gone")

    def breaks(self, error=None):
        for told in tuple(self.close_callbacks):
            told(self, error)


@pytest.fixture
def connections(monkeypatch):
    """What `aio_pika.connect` makes; put errors in `.errors` to have it fail."""
    made = SimpleNamespace(list=[], errors=[], asked=[])

    async def connect(url, **how):
        made.asked.append((url, how))
        if made.errors:
            raise made.errors.pop(0)
        made.list.append(FakeConnection())
        return made.list[-1]

    monkeypatch.setattr(aio_pika, "connect", connect)
    return made


@pytest.fixture
def line(clock, heard) -> Line:
    place = read_rabbit_url(URL)
    return Line(place, "consuming", WireLimits(), heard.emit, clock, Chance(1))


# -- a line ----------------------------------------------------------------------------


async def test_a_line_is_made_anew_when_it_breaks(line, connections, heard):
    told: list[str] = []
    line.on_lost(lambda: told.append("lost"))
    line.on_open(lambda: told.append("open"))
    await line.open()

    connections.list[0].breaks(ConnectionError("cut"))
    assert not line.is_open
    await line.tick()

    assert (told, line.generation, line.is_open) == (["lost", "open"], 2, True)
    event = await heard(LineBroken)
    assert (event.line, "cut" in event.error) == ("consuming", True)
    assert "secret" not in event.server
    assert await line.tick() > 60


async def test_a_line_rests_longer_and_longer_while_nobody_answers(line, connections):
    connections.errors = [ConnectionRefusedError("no")] * 6

    rests = [await line.tick() for _ in range(6)]

    assert rests[0] < 0.5 <= rests[-1] <= 3.0


async def test_an_old_connection_that_closes_late_changes_nothing(line, connections):
    await line.open()
    connections.list[0].breaks()
    await line.tick()

    connections.list[0].breaks()

    assert line.is_open


async def test_a_connection_that_cannot_be_made_is_unavailable(line, connections):
    connections.errors = [aiormq.exceptions.AMQPConnectionError("no")]

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await line.open()
    with pytest.raises(StoreUnavailable):
        await line.channel()
    assert not await line.ready(0.0)


async def test_a_wrong_password_is_named_and_not_told(line, connections):
    connections.errors = [aiormq.exceptions.ProbableAuthenticationError(403, "no")]

    with pytest.raises(StoreRefused, match="lets nobody in") as refused:
        await line.open()

    assert "secret" not in str(refused.value)


async def test_channels_come_from_the_open_connection(line, connections):
    await line.open()

    channel = await line.channel(confirms=True)

    assert channel.how == {"publisher_confirms": True, "on_return_raises": True}
    with pytest.raises(StoreUnavailable):
        await line.channel()


async def test_a_line_that_takes_nothing_in_is_not_ready_and_says_so(line, connections):
    await line.open()
    assert await line.ready(1.0)

    connections.list[0].takes_in.clear()

    assert not await line.ready(0.001)
    assert "takes nothing in" in str(line.trouble())
    await line.close()
    assert "cannot be reached" in str(line.trouble())


async def test_a_closed_line_stays_closed(line, connections):
    await line.open()
    await line.close()
    await line.close()

    assert connections.list[0].closed == 1
    assert not line.is_open


# -- the publisher ---------------------------------------------------------------------


class Flaky(FakeLine):
    """A line whose first channels lose what they are given."""

    def __init__(self, server, losses: int) -> None:
        super().__init__(server)
        self.losses = losses

    async def channel(self, *, confirms=False):
        channel = await super().channel(confirms=confirms)
        if self.losses:
            self.losses -= 1
            channel.wire.basic_publish = self._lose
        return channel

    async def _lose(self, *_, **__):
        self.generation += 1
        raise aiormq.exceptions.ChannelInvalidStateError("closed")


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    server.queues["q"] = FakeQueue({})
    return server


def a_message(name="q") -> Message:
    return Message(name, b"x", Basic.Properties(message_id="m"))


async def test_what_was_not_confirmed_is_sent_again(server):
    publisher = Publisher(Flaky(server, 2), WireLimits(), Passing())

    await publisher.publish([a_message()])

    assert len(server.queues["q"].messages) == 1
    assert (publisher.published, publisher.repeated) == (1, 2)


async def test_in_the_end_it_is_not_known(server):
    publisher = Publisher(Flaky(server, 10_000), WireLimits(), Passing())

    with pytest.raises(OutcomeUnknown):
        await publisher.publish([a_message()])


async def test_what_cannot_be_sent_was_not_sent(server):
    line = FakeLine(server)
    line.is_open = False

    with pytest.raises(StoreUnavailable):
        await Publisher(line, WireLimits(), Passing()).publish([a_message()])


async def test_nothing_is_sent_to_a_broker_that_takes_nothing_in(line, connections):
    await line.open()
    connections.list[0].takes_in.clear()
    publisher = Publisher(line, WireLimits(timeout_s=0.01), SystemClock())

    with pytest.raises(StoreUnavailable, match="takes nothing in"):
        await publisher.publish([a_message()])

    assert connections.list[0].channels == 0


async def test_what_was_sent_before_the_line_went_away_is_not_known(server):
    line = Flaky(server, 1)
    publisher = Publisher(line, WireLimits(), Passing())

    async def closed(within_s):
        return line.losses > 0

    line.ready = closed
    with pytest.raises(OutcomeUnknown):
        await publisher.publish([a_message()])


async def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(server):
    line = FakeLine(server)
    publisher = Publisher(line, WireLimits(timeout_s=0.01), Passing())
    channel = await line.channel()
    never = asyncio.Event()

    async def silent(*_, **__):
        await never.wait()

    channel.wire.basic_publish = silent
    publisher._channel, publisher._wire = channel, channel.wire
    publisher._generation = line.generation

    with pytest.raises(OutcomeUnknown):
        await publisher.publish([a_message()])


async def test_a_refusal_for_a_moment_is_waited_out(server):
    line, clock = FakeLine(server), Passing()
    server.refuses = True
    slept = clock.sleep

    async def until_it_takes_again(delay_s):
        await slept(delay_s)
        server.refuses = clock.at < 0.2

    clock.sleep = until_it_takes_again
    publisher = Publisher(line, WireLimits(), clock)

    await publisher.publish([a_message()])

    assert len(server.queues["q"].messages) == 1
    assert len(line.channels) == 1


@pytest.mark.parametrize("how", ["missing", "full", "failed"])
async def test_what_the_broker_refuses_is_an_error(server, how):
    line = FakeLine(server)
    publisher = Publisher(line, WireLimits(), Passing())
    server.refuses = how == "full"
    if how == "failed":
        channel = await line.channel()

        async def fails(*_, **__):
            raise aiormq.exceptions.DeliveryError(None, Basic.Nack())

        channel.wire.basic_publish = fails
        publisher._channel, publisher._wire = channel, channel.wire
        publisher._generation = line.generation

    with pytest.raises(StoreRefused) as refused:
        await publisher.publish([a_message("x" if how == "missing" else "q")])

    assert refused.value.code == ("NO_ROUTE" if how == "missing" else "FULL")


# -- the wire --------------------------------------------------------------------------


async def test_a_wire_has_two_connections_and_tells_what_it_found(connections, heard):
    wire = RabbitWire(URL, namespace="t", emit=heard.emit)
    await wire.start()

    event = await heard(WireOpened)
    assert (event.software, event.version) == ("rabbitmq", "3.10.8")
    assert (wire.version, wire.tag) == ((3, 10, 8), "t")
    assert wire.address.kind == "rabbit"
    assert "secret" not in wire.address.shown
    assert len(connections.list) == 2
    assert wire.publisher.published == 0

    await wire.stop()
    await wire.stop()
    assert [each.closed for each in connections.list] == [1, 1]
    with pytest.raises(MissingCapability, match="not open"):
        _ = wire.consuming


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"product": "RabbitMQ", "version": "3.9.1"}, MissingCapability),
        ({"product": "LavinMQ", "version": "2.0"}, StoreRefused),
        ({}, StoreRefused),
    ],
)
async def test_a_broker_that_is_not_fit_is_refused(
    connections, monkeypatch, said, error
):
    monkeypatch.setattr(FakeConnection, "said", said)

    with pytest.raises(error):
        await RabbitWire(URL).start()

    assert connections.list[0].closed == 1


async def test_a_session_lives_as_long_as_the_consuming_connection(connections):
    wire = RabbitWire(URL, namespace="t")
    await wire.start()
    gone: list[str] = []
    wire.on_session_gone(gone.append)
    sessions = wire.new_sessions(1.0)
    assert await sessions.join("t", "a.1", 1000)

    assert (await sessions.renew("t", "a.1", 1000))[0]
    connections.list[1].breaks()

    assert gone == ["a.1"]
    assert not (await sessions.renew("t", "a.1", 1000))[0]
    with pytest.raises(StoreUnavailable):
        await sessions.join("t", "a.2", 1000)
    assert not await sessions.end("t", "a.1")
    assert (await sessions.dead("t"), await sessions.bury("t", "a", [])) == ([], True)
    await sessions.close()
    await wire.stop()


async def test_a_lost_connection_ends_the_session_of_the_backend(connections):
    backend = Backend(URL, namespace="t")
    async with backend:
        name = await backend.session.join("t")
        lost: list[str] = []
        backend.session.on_lost(lambda *told: lost.append(told[1]))

        connections.list[1].breaks()

        assert lost == [name]
        with pytest.raises(MissingCapability, match="only the queue"):
            _ = backend.wire
        with pytest.raises(MissingCapability, match="only the queue"):
            _ = backend.lock_server


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"locks": URL}, "locks cannot stand on amqp"),
        ({"registry": URL}, "registry cannot stand"),
        ({"config": URL}, "config cannot stand"),
        ({"queue": URL, "queue_state": URL}, "queue_state cannot stand"),
        ({"queue_state": "redis://h"}, "not on RabbitMQ"),
        ({"queue": "amqp://h:0"}, "port 0"),
    ],
)
def test_only_the_queue_stands_on_rabbitmq(given, part):
    urls = dict.fromkeys(("locks", "registry", "queue", "config"), "redis://h") | given

    with pytest.raises(InvalidUrl, match=part):
        Backends(**urls).check()


def test_the_state_of_a_queue_may_be_in_a_redis():
    backends = Backends("redis://h", "redis://h", URL, "redis://h", "redis://s")

    backends.check()

    assert backends.urls() == ("redis://h", URL, "redis://s")


async def test_a_lines_role_is_woken_when_it_breaks(line, connections, clock):
    tasks = Tasks()
    await line.open()
    line.watch(tasks)
    await asyncio.sleep(0)

    connections.list[0].breaks()
    async with asyncio.timeout(1):
        while line.generation < 2:
            await asyncio.sleep(0)

    assert line.properties["product"] == "RabbitMQ"
    await tasks.close()
