"""A server that speaks RESP and does exactly what a test tells it.

It greets redis-py as a server would, writes down every command that follows (of PING
only how often it came), and answers by a plain function. A test can also take the word
itself: hold answers back, send one late, hang up, fall silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

import hiredis

from quorate.core.errors import StoreUnavailable
from quorate.wire.address import Address
from quorate.wire.link import Dialer

Command = list[bytes]
Answer = Callable[[Command], bytes | None]

_NOTHING = object()
GREETING = {
    b"CLIENT": b"+OK\r\n",
    b"AUTH": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
    b"HELLO": b"+OK\r\n",
}


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def array(*items: bytes) -> bytes:
    return b"*%d\r\n%s" % (len(items), b"".join(items))


def number(value: int) -> bytes:
    return b":%d\r\n" % value


def echo(command: Command) -> bytes:
    """The last word of a command, back."""
    return bulk(command[-1])


def pub_sub(command: Command) -> bytes | None:
    """What a server says to a connection that subscribes."""
    match command:
        case [b"SUBSCRIBE", channel]:
            return array(bulk(b"subscribe"), bulk(channel), number(1))
        case [b"UNSUBSCRIBE", channel]:
            return array(bulk(b"unsubscribe"), bulk(channel), number(0))
        case [b"PING"]:
            return array(bulk(b"pong"), bulk(b""))
    return None


def message(channel: bytes, body: bytes) -> bytes:
    return array(bulk(b"message"), bulk(channel), bulk(body))


class Talk(asyncio.Protocol):
    """One connection, as the server sees it."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self.transport: asyncio.Transport | None = None
        self.heard: list[Command] = []
        self.is_open = False
        self.is_silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_open = True
        self._server.talks.append(self)
        self._server.news.set()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not _NOTHING:
            greeting = self._server.greeting.get(command[0].upper())
            if greeting is not None:
                self.send(greeting)
                continue
            if command == [b"PING"]:
                self._server.pings += 1
            else:
                self.heard.append(command)
                self._server.heard.append(command)
            self._server.news.set()
            self._server.asked = self
            answer = self._server.answer(command) if self._server.answers else None
            if answer is not None and not self.is_silent:
                self.send(answer)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._server.news.set()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def reset(self) -> None:
        assert self.transport is not None
        self.transport.abort()


class ScriptedServer:
    """Listens on a free port of 127.0.0.1. `answers = False` holds answers back."""

    def __init__(self, answer: Answer = echo) -> None:
        self.answer = answer
        self.answers = True
        self.greeting = dict(GREETING)
        self.talks: list[Talk] = []
        self.asked: Talk | None = None
        self.heard: list[Command] = []
        self.pings = 0
        self.news = asyncio.Event()
        self.port = 0
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def talk(self) -> Talk:
        """The connection that was opened last."""
        return self.talks[-1]

    def dialer(self, *, timeout_s: float = 2.0, url: str = "") -> Dialer:
        """A way to connect to this server."""
        return Dialer(
            lambda: Address(url or self.url, "redis", url or self.url),
            connect_timeout_s=timeout_s,
        )

    async def hears(self, count: int, within_s: float = 2.0) -> None:
        """Wait until so many commands have come in all."""
        await self.until(lambda: len(self.heard) >= count, within_s)

    async def until(self, holds: Callable[[], bool], within_s: float = 2.0) -> None:
        """Wait until something holds that changes with what this server sees."""
        async with asyncio.timeout(within_s):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Talk(self), "127.0.0.1", self.port
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def __aenter__(self) -> ScriptedServer:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        for talk in self.talks:
            talk.reset()
        await asyncio.sleep(0)


class NoServer:
    """Stands for a server that nobody can reach; counts who tried."""

    def __init__(self) -> None:
        self.tries = 0
        self.shown = "redis://nowhere:1"

    async def dial(self, link: object) -> object:
        self.tries += 1
        raise StoreUnavailable("nowhere cannot be reached.")
