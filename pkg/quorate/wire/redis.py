"""All that a process needs of one Redis server, or of one Cluster.

One connection for calls, one for messages, one more for the keeper's thread; checked
at the start (version, eviction) so that what would lose locks later is refused now.
"""

from __future__ import annotations

from quorate.core.clock import Clock, SystemClock
from quorate.core.errors import MissingCapability
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import to_the_end

from .address import Address, OpenServer
from .barrier import Barrier
from .events import EvictionFeared, WireOpened
from .facts import ServerFacts, read_facts
from .fleet_urls import check_url, read_fleet_url
from .keys import Keyspace
from .limits import WireLimits
from .ports import Caller, Listener, Site
from .sessions import RedisSessions
from .single import GivenServer, SingleSite
from .urls import CLUSTER, SENTINEL, check_redis_url, scheme_of

__all__ = [
    "EvictionFeared",
    "ServerFacts",
    "Wire",
    "WireLimits",
    "WireOpened",
    "open_wire",
    "read_facts",
]


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
        self.scheme = check_url(url)
        stripes = read_fleet_url(url).stripes if self.scheme in CLUSTER else 0
        self.keys = Keyspace(namespace, stripes)
        self.limits = limits or WireLimits()
        self.emit = emit
        self.clock = clock or SystemClock()
        self._site: Site | None = None
        self._last: Address | None = None
        self._calls: Caller | None = None
        self._inbox: Listener | None = None
        self._barrier: Barrier | None = None
        self.facts: ServerFacts | None = None

    @property
    def address(self) -> Address:
        """The address in use, or last in use; only after `start`."""
        if self._site is not None:
            return self._site.address
        if self._last is None:
            raise MissingCapability(
                f"{self.scheme}:// is not open yet.", fix="Call start() first."
            )
        return self._last

    @property
    def calls(self) -> Caller:
        """The connection for commands and scripts."""
        if self._calls is None:
            raise MissingCapability("The wire is not open.", fix="Call start() first.")
        return self._calls

    @property
    def inbox(self) -> Listener:
        """The connection for messages."""
        if self._inbox is None:
            raise MissingCapability("The wire is not open.", fix="Call start() first.")
        return self._inbox

    @property
    def barrier(self) -> Barrier:
        """Scripts whose effect is waited for on replicas, over further connections."""
        if self._barrier is None:
            self._barrier = self.new_barrier()
        return self._barrier

    async def start(self) -> None:
        """Open the server if it is ours, connect, and check that it is fit for use."""
        self._site = site = await self._open_site()
        try:
            self._calls = site.calls(self.limits)
            self.facts = await site.look(self._calls)
            self._inbox = site.inbox(self._calls)
            await self._inbox.start()
            await site.follow()
        except BaseException:
            await to_the_end(self.stop(), "stop wire")
            raise
        self.emit(
            WireOpened(
                server=site.address.shown,
                software=self.facts.software,
                version=self.facts.version_text,
            )
        )

    async def stop(self) -> None:
        """Close every connection, and the server if it was started for us."""
        barrier, self._barrier = self._barrier, None
        if barrier is not None:
            await barrier.close()
        if self._inbox is not None:
            await self._inbox.stop()
        if self._calls is not None:
            await self._calls.close()
        if self._site is not None:
            site, self._last = self._site, self._site.address
            self._site = None
            await site.close()

    def new_calls(
        self, *, resolving: bool = True, limits: WireLimits | None = None
    ) -> Caller:
        """A further connection for calls.

        `resolving=False` in another event loop: it follows a server of our own that
        was started again, but leaves the starting to the process's own loop.
        """
        if self._site is None:
            raise MissingCapability("The wire is not open.", fix="Call start() first.")
        return self._site.calls(limits or self.limits, elsewhere=not resolving)

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

    def new_barrier(self) -> Barrier:
        """Scripts whose effect is waited for on replicas, over further connections."""
        return Barrier(self.calls)

    async def _open_site(self) -> Site:
        """What stands behind the URL, started first if it is one of our own."""
        shared = (self.limits, self.emit, self.clock)
        if self.scheme in SENTINEL:
            from .sentinel import open_sentinel

            return await open_sentinel(read_fleet_url(self.url), *shared)
        if self.scheme in CLUSTER:
            from .cluster import ClusterSite

            url, (limits, emit, clock) = read_fleet_url(self.url), shared
            return ClusterSite(url, self.keys, limits=limits, emit=emit, clock=clock)
        return SingleSite(await open_server(self.url), *shared)


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


async def open_wire(
    url: str, *, namespace: str = "quorate", emit: Emit = silent
) -> Wire:
    """A wire that is open. Close it with `await wire.stop()`."""
    wire = Wire(url, namespace=namespace, emit=emit)
    await wire.start()
    return wire
