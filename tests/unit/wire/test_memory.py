"""`memory://`: one make-believe server a name, for as long as somebody holds it."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import AsyncIterator

import pytest

from quorate.core.errors import MissingCapability
from quorate.wire.memory import MemoryServer, open_memory


class Client:
    """Says words to a server in RESP and hears one line."""

    def __init__(self, server: MemoryServer) -> None:
        self._port = int(server.address.url.rsplit(":", 1)[1].split("/")[0])

    async def open(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port
        )
        return self

    async def say(self, *words: str) -> bytes:
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        self._writer.write(f"*{len(words)}\r\n{parts}".encode())
        async with asyncio.timeout(2):
            return (await self._reader.readline()).rstrip(b"\r\n")

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def server(namespace: str) -> AsyncIterator[MemoryServer]:
    server = await open_memory(f"memory://{namespace}")
    yield server
    await server.close()


@pytest.fixture
async def client(server: MemoryServer) -> AsyncIterator[Client]:
    client = await Client(server).open()
    yield client
    client.close()


async def test_one_name_is_one_server(
    server: MemoryServer, client: Client, namespace: str
) -> None:
    await client.say("SET", "greeting", "hello")

    same = await open_memory(f"memory://{namespace}")
    another = await open_memory(f"memory://{namespace}-2")

    assert same.address == server.address == await server.resolve()
    assert await client.say("EXISTS", "greeting") == b":1"
    elsewhere = await Client(another).open()
    assert await elsewhere.say("EXISTS", "greeting") == b":0"
    elsewhere.close()
    await same.close()
    await another.close()


async def test_the_last_to_close_ends_it_and_its_threads(namespace: str) -> None:
    before = threading.active_count()
    first = await open_memory(f"memory://{namespace}")
    second = await open_memory(f"memory://{namespace}")
    client = await Client(first).open()
    assert await client.say("PING") == b"+PONG"

    await first.close()
    await first.close()
    assert await client.say("PING") == b"+PONG"
    await second.close()

    assert await client.say("PING") == b""
    with pytest.raises(ConnectionRefusedError):
        await Client(first).open()
    # The pool behind asyncio.to_thread may have grown by one meanwhile.
    assert threading.active_count() <= before + 1
    client.close()


async def test_its_data_ends_with_it(namespace: str) -> None:
    for _ in range(2):
        server = await open_memory(f"memory://{namespace}")
        client = await Client(server).open()
        assert await client.say("INCR", "opened") == b":1"
        client.close()
        await server.close()


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("EVALSHA", "a" * 40, "0"), b"-NOSCRIPT "),
        (("LPUSH", "text", "x"), b"-WRONGTYPE "),
        (("EVAL", "return redis.error_reply('OOM full')", "0"), b"-OOM full"),
        (("EVAL", "error('two\\nlines')", "0"), b"-ERR Error running script"),
        (("NONSENSE",), b"-ERR unknown command"),
        (("EVAL", "return redis.call('TIME')[1] + 0", "0"), b":1"),
    ],
)
async def test_an_error_is_said_as_a_real_server_says_it_and_ends_nothing(
    client: Client, words: tuple[str, ...], reply: bytes
) -> None:
    await client.say("SET", "text", "x")

    assert (await client.say(*words)).startswith(reply)

    assert await client.say("PING") == b"+PONG"


async def test_it_says_what_it_lacks(server: MemoryServer) -> None:
    assert server.address.kind == "memory"
    assert server.address.lacks >= {"replicas", "failover", "cluster", "persistence"}
    assert server.address.shared == server.address.url


async def test_a_missing_extra_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_lupa(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", no_lupa)

    with pytest.raises(MissingCapability, match=r"pip install 'quorate\[memory\]'"):
        await open_memory("memory://x")


async def test_a_forked_child_ends_nothing_of_its_parent_s(
    server: MemoryServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    await server.close()
    monkeypatch.undo()

    assert await client.say("PING") == b"+PONG"
