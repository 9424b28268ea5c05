"""A site of many servers that share the slots: a Redis Cluster.

Each event loop has its own map of the slots and its own connections, one a node for
calls and one a node for messages. All nodes are checked at the start, and so is the
number of stripes over which locks are spread: two processes that count differently
would lock past each other.
"""

from __future__ import annotations

import asyncio

from quorate.core.clock import Clock
from quorate.core.errors import MissingCapability, StoreRefused
from quorate.core.events import Emit

from .address import Address
from .calls import Calls
from .cluster_calls import ClusterCalls
from .cluster_inbox import ClusterInbox
from .events import SlotsMoved
from .facts import ServerFacts
from .fleet_urls import FleetUrl
from .inbox import Inbox, Moved
from .keys import Keyspace
from .limits import WireLimits
from .link import Dialer
from .ports import Caller
from .single import look_at
from .slots import spot_of
from .topology import Topology


class ClusterSite:
    """Satisfies `wire.ports.Site`."""

    def __init__(
        self,
        url: FleetUrl,
        keys: Keyspace,
        *,
        limits: WireLimits,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.address = Address(url.url, "cluster", url.url)
        self._url = url
        self._keys = keys
        self._limits = limits
        self._emit = emit
        self._clock = clock

    def calls(self, limits: WireLimits, *, elsewhere: bool = False) -> ClusterCalls:
        def open_calls(name: str) -> Calls:
            return Calls(
                self._dialer(name, limits),
                timeout_s=limits.timeout_s,
                dialect="sharded",
                resends=False,
            )

        topology = Topology(map(str, self._url.spots), open_calls, self._clock)
        return ClusterCalls(topology, timeout_s=limits.timeout_s, clock=self._clock)

    def inbox(self, calls: Caller) -> ClusterInbox:
        assert isinstance(calls, ClusterCalls)

        def open_inbox(name: str, emit: Emit, moved: Moved) -> Inbox:
            return Inbox(
                self._dialer(name, self._limits),
                timeout_s=self._limits.timeout_s,
                emit=emit,
                clock=self._clock,
                moved=moved,
            )

        return ClusterInbox(
            calls.topology, open_inbox, emit=self._emit, clock=self._clock
        )

    async def look(self, calls: Caller) -> ServerFacts:
        """The facts of the oldest node. What cannot be reached now is not checked."""
        assert isinstance(calls, ClusterCalls)
        topology = calls.topology
        topology.on_change(self._tell)
        try:
            await topology.refresh()
        except StoreRefused as error:
            if "cluster support disabled" not in error.why:
                raise
            raise MissingCapability(
                f"{self.address.shown} is not a Cluster.",
                error.why,
                "Use redis:// for a single server.",
            ) from error
        names = sorted(topology.map.owners | topology.map.replicas)
        looks = [
            look_at(self._url.server_url(spot_of(name)), self._limits, self._emit)
            for name in names
        ]
        found = [facts for facts in await asyncio.gather(*looks) if facts is not None]
        await self._agree_on_stripes(calls)
        return min(found, key=lambda facts: facts.version)

    async def follow(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def _dialer(self, name: str, limits: WireLimits) -> Dialer:
        url = self._url.server_url(spot_of(name))
        address = Address(url, "redis", url)
        return Dialer(lambda: address, connect_timeout_s=limits.connect_timeout_s)

    def _tell(self, slots: int) -> None:
        self._emit(SlotsMoved(cluster=self.address.shown, slots=slots))

    async def _agree_on_stripes(self, calls: ClusterCalls) -> None:
        """The first to come says how many stripes there are; the others must agree."""
        ours = self._keys.stripes
        key = f"{self._keys.config_tag}:stripes"
        told = await calls.command("SET", key, ours, "NX", "GET")
        if told is not None and int(told) != ours:
            raise StoreRefused(
                f"{self.address.shown} has {int(told)} stripes of locks, not {ours}.",
                "Who spreads locks over another number would lock past the others.",
                f"Write ?stripes={int(told)} behind the hosts of the URL. To change "
                f"it, stop every process of this namespace and delete {key}.",
            )
