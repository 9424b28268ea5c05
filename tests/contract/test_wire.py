"""Calls and messages on every server: the protocol as real servers speak it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.anywhere import a_tag, inboxes, publish
from tests.servers import Server

from quorate.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from quorate.testing.heard import Heard
from quorate.wire.inbox import InboxLost, InboxRestored
from quorate.wire.link import pack
from quorate.wire.redis import Wire, open_wire
from quorate.wire.scripts import load


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


class Ear:
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def __call__(self, body: bytes) -> None:
        self.got.put_nowait(body)

    async def next(self) -> bytes:
        async with asyncio.timeout(2):
            return await self.got.get()


async def test_replies_of_every_kind(wire: Wire) -> None:
    call, key = wire.calls.command, f"{a_tag(wire)}:k"

    assert await call("SET", key, b"\x00\xff") == b"OK"
    assert await call("GET", key) == b"\x00\xff"
    assert await call("GET", f"{key}:none") is None
    assert await call("INCRBY", f"{key}:n", 41) == 41
    assert await call("MGET", key, f"{key}:none") == [b"\x00\xff", None]
    assert await call("HGETALL", f"{key}:none") == []
    with pytest.raises(StoreRefused) as refused:
        await call("LPUSH", key, "x")
    assert refused.value.code == "WRONGTYPE"


async def test_ten_thousand_at_once_are_answered_in_order(wire: Wire) -> None:
    before = wire.calls.stats()

    answers = await asyncio.gather(
        *(wire.calls.command("ECHO", str(number)) for number in range(10_000))
    )

    assert answers == [str(number).encode() for number in range(10_000)]
    after = wire.calls.stats()
    assert after.writes - before.writes == 1
    assert after.connections == max(1, before.connections)


async def test_a_megabyte_of_any_bytes_passes_whole(wire: Wire) -> None:
    blob = bytes(range(256)) * 4_000

    assert await wire.calls.command("ECHO", blob) == blob


async def test_a_message_is_heard_by_everybody_who_subscribed(
    wire: Wire, redis_url: str, namespace: str
) -> None:
    other = await open_wire(redis_url, namespace=namespace)
    ears = [Ear(), Ear()]
    channel = f"{a_tag(wire)}:news"
    await wire.inbox.subscribe(channel, ears[0])
    await other.inbox.subscribe(channel, ears[1])

    assert await publish(wire, channel, "hello") == 2

    assert [await ear.next() for ear in ears] == [b"hello", b"hello"]
    await other.stop()


async def test_who_unsubscribed_hears_no_more_and_may_come_back(
    wire: Wire, namespace: str
) -> None:
    ear, channel = Ear(), f"{namespace}:news"
    await wire.inbox.subscribe(channel, ear)
    wire.inbox.unsubscribe(channel, ear)
    other = f"{a_tag(wire)}:barrier"
    await wire.inbox.subscribe(other, print)
    assert await publish(wire, channel, "unheard") == 0

    await wire.inbox.subscribe(channel, ear)
    await publish(wire, channel, "heard")

    assert await ear.next() == b"heard"


async def test_a_quiet_inbox_is_kept_by_its_pings(wire: Wire, namespace: str) -> None:
    channels = (f"{a_tag(wire)}:a", f"{a_tag(wire)}:b")
    for channel in channels:
        await wire.inbox.subscribe(channel, print)
        [inbox] = inboxes(wire)
        inbox._heard_at = 0.0
        inbox._link.write(pack("PING"))  # type: ignore[union-attr]
        async with asyncio.timeout(2):
            while not inbox._heard_at:
                await asyncio.sleep(0.005)


@pytest.fixture
async def real(server: Server, namespace: str, heard: Heard) -> AsyncIterator[Wire]:
    """A wire to a real server that is looked at from outside."""
    wire = await open_wire(server.url, namespace=namespace, emit=heard.emit)
    yield wire
    await wire.stop()


def hang_up(server: Server, kind: str) -> None:
    """Let the server end its connections of this kind: normal or pubsub."""
    server.admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


async def test_a_server_that_hangs_up_is_called_again(
    server: Server, real: Wire
) -> None:
    await real.calls.command("PING")

    hang_up(server, "normal")
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(await real.calls.command("ECHO", "x"))
        except (OutcomeUnknown, StoreUnavailable) as error:
            outcomes.append(error)

    assert outcomes[-2:] == [b"x", b"x"]


async def test_missed_messages_are_made_good_by_looking(
    server: Server, real: Wire, heard: Heard, namespace: str
) -> None:
    ear, looked = Ear(), asyncio.Event()
    await real.inbox.subscribe(f"{namespace}:a", ear)
    await real.inbox.subscribe(f"{namespace}:b", ear)
    real.inbox.on_resync(looked.set)

    hang_up(server, "pubsub")
    await heard(InboxLost)
    restored = await heard(InboxRestored)
    server.admin.publish(f"{namespace}:b", "after")

    assert looked.is_set()
    assert await ear.next() == b"after"
    assert restored.away_s < 1


async def test_each_script_is_one_request(server: Server, real: Wire) -> None:
    script = load("quorate.wire", "join")
    await real.calls.call(script, ["{a}:S"], ["warm-up", 1000])
    server.reset_stats()

    for number in range(5):
        await real.calls.call(script, ["{a}:S"], [f"s.{number}", 1000])

    stats = server.commandstats()
    assert stats["evalsha"] == 5
    assert "eval" not in stats
    server.admin.delete("{a}:S")


async def test_the_connections_are_named_and_none_is_left(
    server: Server, namespace: str
) -> None:
    def named() -> int:
        return sum(row["name"] == "quorate" for row in server.admin.client_list())

    before = named()
    wire = await open_wire(server.url, namespace=namespace)
    await wire.calls.command("PING")
    assert named() == before + 2

    await wire.stop()

    async with asyncio.timeout(2):
        while named() != before:
            await asyncio.sleep(0.01)
