"""A TCP proxy that makes the network fail on purpose, one proxy a link.

Put it between a client and its server, connect to `proxy.url`, and add toxics while
traffic flows: latency, cut replies, swallowed data, resets. They act on connections
that are open as well as on new ones, and end when they are removed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import Tasks

from .proxy_link import Losses, ProxyLink
from .toxics import Down, LoseReply, Toxic

CONNECT_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """Counts since the start."""

    connections: int
    open_now: int
    bytes_up: int
    bytes_down: int
    replies_lost: int


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to `upstream`.

    `upstream` is a URL, such as `redis://127.0.0.1:6379/0`; `url` is the same through
    the proxy. `redis=True` lets it tell one reply from the next (`LoseReply`).
    """

    def __init__(self, upstream: str, *, seed: int = 0, redis: bool = False) -> None:
        parts = urlsplit(upstream)
        if not parts.hostname or not parts.port:
            raise InvalidInput(
                "The proxy's upstream needs a host and a port.",
                fix="Write it as redis://127.0.0.1:6379/0.",
            )
        self._upstream = parts
        self._chance = Chance(seed)
        self._losses = Losses(self._chance) if redis else None
        self._toxics: list[Toxic] = []
        self._links: set[ProxyLink] = set()
        self._tasks = Tasks()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._connections = self._up = self._down = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The upstream's URL with the proxy's address in its place."""
        login = self._upstream.netloc.rpartition("@")[0]
        place = f"{login}@127.0.0.1:{self.port}" if login else f"127.0.0.1:{self.port}"
        return self._upstream._replace(netloc=place).geturl()

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        return tuple(self._toxics)

    def stats(self) -> ProxyStats:
        up = self._up + sum(link.passed("up") for link in self._links)
        down = self._down + sum(link.passed("down") for link in self._links)
        lost = self._losses.lost if self._losses is not None else 0
        return ProxyStats(self._connections, len(self._links), up, down, lost)

    async def start(self) -> None:
        await self._listen()

    async def stop(self) -> None:
        """Refuse new connections and end those that are open."""
        self._deafen()
        await self._tasks.close()

    async def add(self, toxic: Toxic) -> None:
        """Let `toxic` act from now on, on open connections too."""
        if isinstance(toxic, LoseReply) and self._losses is None:
            raise InvalidInput(
                "This proxy cannot tell replies apart.",
                fix="Make it with FaultProxy(upstream, redis=True).",
            )
        self._toxics.append(toxic)
        if isinstance(toxic, Down):
            self._deafen()
            self.cut()
        for link in tuple(self._links):
            link.afflict(toxic)

    async def remove(self, toxic: Toxic) -> None:
        """End `toxic`. Connections that have lost data by it are reset."""
        if not any(one is toxic for one in self._toxics):
            raise InvalidInput(f"{toxic} is not one of this proxy's toxics.")
        self._toxics = [one for one in self._toxics if one is not toxic]
        for link in tuple(self._links):
            link.relieve(toxic)
        if isinstance(toxic, Down) and not self._is_down:
            await self._listen()

    async def clear(self) -> None:
        """End all toxics."""
        for toxic in self.toxics:
            await self.remove(toxic)

    @contextlib.asynccontextmanager
    async def poisoned(self, toxic: Toxic) -> AsyncIterator[None]:
        """Have `toxic` act for the length of the block."""
        await self.add(toxic)
        try:
            yield
        finally:
            await self.remove(toxic)

    def cut(self) -> None:
        """Reset every connection once. New ones are welcome."""
        for link in tuple(self._links):
            link.reset()

    @property
    def _is_down(self) -> bool:
        return any(isinstance(toxic, Down) for toxic in self._toxics)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._welcome, "127.0.0.1", self._port
            )
            self._port = int(self._listener.sockets[0].getsockname()[1])

    def _deafen(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _welcome(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._is_down:
            writer.transport.abort()
            return
        self._connections += 1
        self._tasks.spawn(self._serve(reader, writer), "proxy link")

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                upstream = await asyncio.open_connection(
                    self._upstream.hostname, self._upstream.port
                )
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        link = ProxyLink(
            (reader, writer), upstream, chance=self._chance, losses=self._losses
        )
        self._links.add(link)
        for toxic in self._toxics:
            link.afflict(toxic)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            self._up += link.passed("up")
            self._down += link.passed("down")
