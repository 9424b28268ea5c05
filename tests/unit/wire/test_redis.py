"""A wire: opened, checked, closed; and what a server must be to be used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.wire.scripted_server import Command, ScriptedServer, bulk, echo, pub_sub

import quorate.wire.redis as redis_module
from quorate.core.errors import (
    InvalidName,
    InvalidUrl,
    MissingCapability,
    StoreRefused,
    StoreUnavailable,
)
from quorate.testing.heard import Heard
from quorate.wire.redis import (
    EvictionFeared,
    ServerFacts,
    Wire,
    WireLimits,
    WireOpened,
    open_wire,
    read_facts,
)


def info(**facts: str) -> bytes:
    lines = ["# Server", *(f"{name}:{value}" for name, value in facts.items()), ""]
    return "\r\n".join(lines).encode()


def server_that_is(**facts: str) -> Callable[[Command], bytes | None]:
    def answer(command: Command) -> bytes | None:
        if command[0] == b"INFO":
            return bulk(info(**facts))
        return pub_sub(command) or echo(command)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(server_that_is(redis_version="7.2.4")) as server:
        yield server


async def test_it_opens_a_connection_for_calls_and_one_for_messages(
    server: ScriptedServer, heard: Heard
) -> None:
    wire = await open_wire(server.url, namespace="shop", emit=heard.emit)

    assert await wire.calls.command("ECHO", "hello") == b"hello"
    await wire.inbox.subscribe("a", print)
    assert len(server.talks) == 2
    assert wire.keys.tag == "{shop}"
    assert wire.facts == ServerFacts("redis", (7, 2, 4), "", "noeviction")
    opened = await heard(WireOpened)
    assert (opened.software, opened.version) == ("redis", "7.2.4")
    assert opened.server == server.url
    await wire.stop()
    await wire.stop()
    await server.until(lambda: not any(talk.is_open for talk in server.talks))


async def test_after_the_end_calls_are_refused_and_the_address_is_still_known(
    server: ScriptedServer,
) -> None:
    wire = await open_wire(server.url)
    calls = wire.calls
    await wire.stop()

    with pytest.raises(StoreUnavailable, match=f"{server.port}.* is closed"):
        await calls.command("PING")

    assert wire.address.url == server.url


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"redis_version": "6.2.14"}, MissingCapability),
        ({"redis_version": "nonsense"}, MissingCapability),
        ({}, MissingCapability),
        (
            {
                "redis_version": "7.2.4",
                "server_name": "valkey",
                "valkey_version": "7.1.9",
            },
            MissingCapability,
        ),
        (
            {"redis_version": "7.4.0", "maxmemory_policy": "allkeys-lru"},
            StoreRefused,
        ),
        (
            {"redis_version": "7.4.0", "maxmemory_policy": "allkeys-random"},
            StoreRefused,
        ),
    ],
)
async def test_a_server_that_would_lose_locks_is_refused_and_left(
    facts: dict[str, str], refused: type[Exception]
) -> None:
    async with ScriptedServer(server_that_is(**facts)) as server:
        with pytest.raises(refused):
            await open_wire(server.url)

        await server.until(lambda: not any(talk.is_open for talk in server.talks))
        assert {command[0] for command in server.heard} == {b"INFO"}


@pytest.mark.parametrize(
    "facts",
    [
        {"redis_version": "7.0.0"},
        {"redis_version": "8.2.1"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.0"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"},
    ],
)
async def test_a_server_that_is_new_enough_is_taken(facts: dict[str, str]) -> None:
    async with ScriptedServer(server_that_is(**facts)) as server:
        wire = await open_wire(server.url)
        await wire.stop()


async def test_a_server_that_may_evict_is_warned_of(heard: Heard) -> None:
    answer = server_that_is(redis_version="7.2.4", maxmemory_policy="volatile-lru")
    async with ScriptedServer(answer) as server:
        wire = await open_wire(server.url, emit=heard.emit)

        assert (await heard(EvictionFeared)).policy == "volatile-lru"
        await wire.stop()


async def test_nothing_is_left_open_when_messages_cannot_be_heard(
    server: ScriptedServer,
) -> None:
    def refuse_the_second(command: Command) -> bytes | None:
        server.greeting[b"CLIENT"] = b"-NOPERM no\r\n"
        return bulk(info(redis_version="7.2.4"))

    server.answer = refuse_the_second

    with pytest.raises(StoreRefused, match="refused the connection"):
        await open_wire(server.url)

    await server.until(lambda: not any(talk.is_open for talk in server.talks))


async def test_a_start_may_be_cancelled(server: ScriptedServer) -> None:
    server.answers = False
    starting = asyncio.create_task(open_wire(server.url))
    await server.hears(1)

    starting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await starting
    await server.until(lambda: not any(talk.is_open for talk in server.talks))


async def test_before_the_start_there_is_nothing_to_use(server: ScriptedServer) -> None:
    wire = Wire(server.url)

    for name in ("calls", "inbox", "address"):
        with pytest.raises(MissingCapability, match="not open"):
            getattr(wire, name)
    await wire.stop()


@pytest.mark.parametrize("url", ["redis://", "redis://h/x", "nothing", "reds://h"])
def test_a_bad_url_is_refused_before_any_work(url: str) -> None:
    with pytest.raises(InvalidUrl):
        Wire(url)


def test_a_bad_namespace_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidName):
        Wire("redis://localhost", namespace="a b")


async def test_the_keepers_sessions_have_deadlines_of_their_own(
    server: ScriptedServer,
) -> None:
    wire = await open_wire(server.url)
    slow, quick = wire.new_sessions(), wire.new_sessions(0.1)
    server.answers = False
    loop = asyncio.get_running_loop()

    begun = loop.time()
    with pytest.raises(Exception, match=r"nothing came within 0\.1 s"):
        await quick.end("{a}", "s")

    assert loop.time() - begun < 1.5
    assert slow is not quick
    await quick.close()
    await slow.close()
    await wire.stop()


def test_deadlines_can_only_become_shorter() -> None:
    limits = WireLimits(timeout_s=5, connect_timeout_s=3)

    assert limits.at_most(4) == WireLimits(4, 3)
    assert limits.at_most(1) == WireLimits(1, 1)
    assert limits.at_most(9) == limits


async def test_a_make_believe_server_is_not_asked_what_it_is() -> None:
    wire = await open_wire("memory://wire-facts")

    assert wire.facts is not None
    assert wire.facts.software == "memory"
    assert await wire.calls.command("PING") == b"PONG"
    await wire.stop()


async def test_a_server_of_our_own_is_looked_for_again(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Ours(redis_module.GivenServer):
        async def resolve(self) -> object:  # type: ignore[override]
            asked.append("where are you?")
            await server.listen()
            return self.address

    async def open_ours(url: str) -> Ours:
        address = redis_module.check_redis_url(server.url)
        return Ours(redis_module.Address(address.url, "embedded", address.shared))

    monkeypatch.setattr(redis_module, "open_server", open_ours)
    wire = Wire("embedded://", limits=WireLimits(1, 1))
    await wire.start()
    keepers = wire.new_sessions()

    await server.stop_listening()
    for talk in server.talks:
        talk.reset()
    await server.until(lambda: not any(talk.is_open for talk in server.talks))
    with pytest.raises(StoreUnavailable):
        await keepers.end("{a}", "s")
    assert await wire.calls.command("ECHO", "back") == b"back"

    assert asked
    await keepers.close()
    await wire.stop()


async def test_a_given_server_is_where_it_is() -> None:
    address = redis_module.check_redis_url("redis://localhost")
    given = await redis_module.open_server("redis://localhost")

    assert await given.resolve() == address == given.address
    await given.close()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ServerFacts("redis", (0,), "", "noeviction")),
        (
            "redis_version:7.0.15\r\nrun_id:abc\r\nmaxmemory_policy:allkeys-lru\r\n",
            ServerFacts("redis", (7, 0, 15), "abc", "allkeys-lru"),
        ),
        (
            "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:9.1.2\n",
            ServerFacts("valkey", (9, 1, 2), "", "noeviction"),
        ),
        ("redis_version:8.0-rc1\n", ServerFacts("redis", (8,), "", "noeviction")),
        ("no colon here\n::\n", ServerFacts("redis", (0,), "", "noeviction")),
    ],
)
def test_the_facts_are_read_from_what_the_server_says(
    text: str, facts: ServerFacts
) -> None:
    assert read_facts(text) == facts
