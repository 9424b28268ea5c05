"""One lane's consumer is opened once, and waits for no connection that is gone."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.queue.fake_rabbit import FakeLine, FakeRabbit, FakeServer

from quorate.core.errors import StoreUnavailable
from quorate.queue.model import QueueConfig
from quorate.queue.ports import Parcel
from quorate.queue.rabbit import tap as taps
from quorate.queue.rabbit.letters import Letter
from quorate.queue.rabbit.sending import Sending
from quorate.queue.rabbit.tap import Tap
from quorate.queue.rabbit.topology import Topology
from quorate.testing.clock import ManualClock

NAME = "t.work.normal"
SOON_S = 2.0


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def line(server: FakeServer, clock: ManualClock) -> FakeLine:
    """A connection; one task waits."""
    wire = FakeRabbit(server, clock)
    topology = Topology("t", "work", QueueConfig(queues=("work",)), (3, 10, 8))
    await Sending(wire, topology).enqueue([Parcel("a", 1, 0, b"{}")])  # type: ignore[arg-type]
    return wire.consuming


@pytest.fixture
def tap(clock: ManualClock) -> Tap:
    return Tap(1, NAME, 16, clock, lambda: None)


async def letter_of(tap: Tap, line: FakeLine, server: FakeServer) -> Letter:
    await tap.open(line)  # type: ignore[arg-type]
    await server.settle()
    return tap.letters.popleft()


def stuck_at(line: FakeLine, call: str) -> asyncio.Event:
    """From now on this call never ends. Returns what is set when somebody calls."""
    called = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        called.set()
        await asyncio.Event().wait()

    for channel in line.channels:
        setattr(channel.wire, call, never)
    return called


async def test_who_acknowledges_waits_no_longer_when_the_connection_breaks(
    tap, line, server
):
    letter = await letter_of(tap, line, server)
    called = stuck_at(line, "basic_ack")
    settling = asyncio.ensure_future(tap.settle(letter))
    await called.wait()

    line.cut()

    async with asyncio.timeout(SOON_S):
        assert not await settling


async def test_who_acknowledges_waits_no_longer_when_the_tap_is_closed(
    tap, line, server
):
    letter = await letter_of(tap, line, server)
    called = stuck_at(line, "basic_ack")
    settling = asyncio.ensure_future(tap.settle(letter))
    await called.wait()

    await tap.close()

    async with asyncio.timeout(SOON_S):
        assert not await settling


async def test_a_connection_that_takes_no_acknowledgement_is_given_up(
    tap, line, server, monkeypatch
):
    broken: list[BaseException | None] = []
    tap.on_broken = broken.append
    letter = await letter_of(tap, line, server)
    stuck_at(line, "basic_ack")
    monkeypatch.setattr(taps, "ANSWER_WITHIN_S", 0.01)

    assert not await tap.settle(letter)

    assert [type(error) for error in broken] == [TimeoutError]


async def test_two_who_open_it_at_once_open_it_once(tap, line, server, monkeypatch):
    channel = line.channel

    async def slowly() -> object:
        await asyncio.sleep(0)
        return await channel()

    monkeypatch.setattr(line, "channel", slowly)

    await asyncio.gather(tap.open(line), tap.open(line))

    assert len(line.channels) == 1
    assert len(server.queues[NAME].consumers) == 1


async def test_what_is_closed_while_it_is_opened_is_not_open(
    tap, line, server, monkeypatch
):
    channel = line.channel

    async def slow_to_consume() -> object:
        made = await channel()
        consume = made.wire.basic_consume

        async def later(*given: object) -> object:
            await tap.close()
            made.wire.is_closed = False
            return await consume(*given)

        made.wire.basic_consume = later
        return made

    monkeypatch.setattr(line, "channel", slow_to_consume)

    with pytest.raises(StoreUnavailable):
        await tap.open(line)

    assert not tap.is_open
