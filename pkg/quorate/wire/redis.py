"""All that a process needs of one Redis server.

One connection for calls, one for messages, one more for the keeper's thread; checked
at the start (version, eviction) so that what would lose locks later is refused now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.clock import Clock, SystemClock
from quorate.core.errors import MissingCapability, StoreRefused
from quorate.core.events import Emit, Event, silent
from quorate.core.lifecycle import to_the_end

from .address import Address, OpenServer
from .calls import Calls
from .inbox import Inbox
from .keys import Keyspace
from .link import Dialer
from .sessions import RedisSessions
from .urls import check_redis_url, scheme_of

OLDEST_REDIS = (7, 0)
OLDEST_VALKEY = (7, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOpened(Event):
    """Connected to a server that is fit for use."""

    server: str
    software: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionFeared(Event):
    """The server may evict keys when memory is short; an evicted lock is lost."""

    level: ClassVar[str] = "warning"
    server: str
    policy: str


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Deadlines of one wire, in seconds."""

    timeout_s: float = 5.0
    connect_timeout_s: float = 3.0

    def at_most(self, within_s: float) -> WireLimits:
        """The same, with no deadline longer than `within_s`."""
        return WireLimits(
            timeout_s=min(self.timeout_s, within_s),
            connect_timeout_s=min(self.connect_timeout_s, within_s),
        )


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself."""

    software: str
    version: tuple[int, ...]
    run_id: str
    eviction: str


class Wire:
    """The connections of this process to one server. `await start()` before use."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "quorate",
        limits: WireLimits | None = None,
        emit: Emit = silent,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.scheme = scheme_of(url)
        if self.scheme in ("redis", "rediss"):
            check_redis_url(url)
        self.keys = Keyspace(namespace)
        self.limits = limits or WireLimits()
        self.emit = emit
        self.clock = clock or SystemClock()
        self._server: OpenServer | None = None
        self._last: Address | None = None
        self._calls: Calls | None = None
        self._inbox: Inbox | None = None
        self.facts: ServerFacts | None = None

    @property
    def address(self) -> Address:
        """The address in use, or last in use; only after `start`."""
        server = self._server
        if server is not None:
            return server.address
        if self._last is None:
            raise MissingCapability(
                f"{self.scheme}:// is not open yet.", fix="Call start() first."
            )
        return self._last

    @property
    def calls(self) -> Calls:
        """The connection for commands and scripts."""
        if self._calls is None:
            raise MissingCapability("The wire is not open.", fix="Call start() first.")
        return self._calls

    @property
    def inbox(self) -> Inbox:
        """The connection for messages."""
        if self._inbox is None:
            raise MissingCapability("The wire is not open.", fix="Call start() first.")
        return self._inbox

    async def start(self) -> None:
        """Open the server if it is ours, connect, and check that it is fit for use."""
        self._server = await open_server(self.url)
        try:
            self._calls = self.new_calls()
            self.facts = await self._look()
            self._inbox = Inbox(
                self._dialer(self.limits),
                timeout_s=self.limits.timeout_s,
                emit=self.emit,
                clock=self.clock,
            )
            await self._inbox.start()
        except BaseException:
            await to_the_end(self.stop(), "stop wire")
            raise

    async def stop(self) -> None:
        """Close every connection, and the server if it was started for us."""
        if self._inbox is not None:
            await self._inbox.stop()
        if self._calls is not None:
            await self._calls.close()
        if self._server is not None:
            server, self._last = self._server, self._server.address
            self._server = None
            await server.close()

    def new_calls(
        self, *, resolving: bool = True, limits: WireLimits | None = None
    ) -> Calls:
        """A further connection for calls.

        `resolving=False` in another event loop: it follows a server of our own that
        was started again, but leaves the starting to the process's own loop.
        """
        limits = limits or self.limits
        return Calls(
            self._dialer(limits, resolving=resolving),
            timeout_s=limits.timeout_s,
            shebang=self.address.kind != "memory",
        )

    def sessions(self) -> RedisSessions:
        """The session rows, over the process's own connection."""
        return RedisSessions(self.calls)

    def new_sessions(self, within_s: float | None = None) -> RedisSessions:
        """The session rows over a connection of their own, for the keeper's thread.

        A connection that says nothing for `within_s` is given up, so that several can
        be tried before a session ends.
        """
        limits = self.limits if within_s is None else self.limits.at_most(within_s)
        return RedisSessions(self.new_calls(resolving=False, limits=limits))

    def _dialer(self, limits: WireLimits, *, resolving: bool = True) -> Dialer:
        ours = self.address.kind != "redis"
        return Dialer(
            lambda: self.address,
            connect_timeout_s=limits.connect_timeout_s,
            resolve=self._resolve if resolving and ours else None,
        )

    async def _resolve(self) -> None:
        if self._server is not None:
            await self._server.resolve()

    async def _look(self) -> ServerFacts:
        """INFO, and the refusals that follow from it."""
        if self.address.kind == "memory":
            return ServerFacts("memory", OLDEST_REDIS, "memory", "noeviction")
        text = await self.calls.command("INFO")
        facts = read_facts(text.decode(errors="replace"))
        oldest = OLDEST_VALKEY if facts.software == "valkey" else OLDEST_REDIS
        if facts.version < oldest:
            raise MissingCapability(
                f"{self.address.shown} runs {facts.software} "
                f"{'.'.join(map(str, facts.version))}.",
                f"{facts.software} {'.'.join(map(str, oldest))} or later is needed.",
                "Upgrade the server, or try embedded:// meanwhile.",
            )
        if facts.eviction.startswith("allkeys"):
            raise StoreRefused(
                f"{self.address.shown} evicts keys when memory is short.",
                f"maxmemory-policy is {facts.eviction}; an evicted lock is lost.",
                "Set maxmemory-policy to noeviction.",
            )
        if facts.eviction != "noeviction":
            self.emit(EvictionFeared(server=self.address.shown, policy=facts.eviction))
        self.emit(
            WireOpened(
                server=self.address.shown,
                software=facts.software,
                version=".".join(map(str, facts.version)),
            )
        )
        return facts


class GivenServer:
    """A server that somebody else runs, at a fixed address."""

    def __init__(self, address: Address) -> None:
        self.address = address

    async def resolve(self) -> Address:
        return self.address

    async def close(self) -> None:
        return None


async def open_server(url: str) -> OpenServer:
    """The server behind `url`, started first if it is one of our own."""
    scheme = scheme_of(url)
    if scheme == "memory":
        from .memory import open_memory

        return await open_memory(url)
    if scheme == "embedded":
        from .embedded import open_embedded

        return await open_embedded(url)
    return GivenServer(check_redis_url(url))


def read_facts(info: str) -> ServerFacts:
    """What matters in the text of INFO."""
    found = dict(
        line.strip().split(":", 1) for line in info.splitlines() if ":" in line
    )
    software = found.get("server_name", "redis")
    version = found.get(f"{software}_version") or found.get("redis_version", "0")
    return ServerFacts(
        software=software,
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        run_id=found.get("run_id", ""),
        eviction=found.get("maxmemory_policy", "noeviction"),
    )


async def open_wire(
    url: str, *, namespace: str = "quorate", emit: Emit = silent
) -> Wire:
    """A wire that is open. Close it with `await wire.stop()`."""
    wire = Wire(url, namespace=namespace, emit=emit)
    await wire.start()
    return wire
