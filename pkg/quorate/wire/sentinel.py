"""A master that Sentinels watch over, followed wherever it goes.

Every connection asks the Sentinels first and hangs up on a server that is a replica by
now. One more connection hears of a switch as soon as it is decided, so that nobody
waits for a master that is frozen or cut off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from weakref import WeakSet

from quorate.core.clock import Clock
from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Tasks

from .address import Address
from .calls import Calls
from .events import MasterSwitched
from .facts import ServerFacts
from .fleet_urls import FleetUrl, Spot
from .inbox import Inbox
from .limits import WireLimits
from .link import Dialer
from .ports import Caller
from .sentinel_server import ASK_WITHIN_S, SentinelServer
from .single import SingleSite, look_at

SWITCH = "+switch-master"


class SwitchWatch:
    """Hears from one Sentinel at a time when another server becomes the master."""

    def __init__(
        self,
        server: SentinelServer,
        lead: Callable[[], None],
        *,
        limits: WireLimits,
        emit: Emit,
        clock: Clock,
    ) -> None:
        """`lead` is called when connections to any other server are worth nothing."""
        self._server = server
        self._lead = lead
        self._tasks = Tasks(emit, clock)
        self._spots = deque(server.url.spots)
        dialer = Dialer(
            self._sentinel,
            connect_timeout_s=min(ASK_WITHIN_S, limits.connect_timeout_s),
            resolve=self._next,
        )
        self._inbox = Inbox(dialer, timeout_s=ASK_WITHIN_S, emit=silent, clock=clock)

    async def start(self) -> None:
        """Raises `StoreUnavailable` if no Sentinel lets us listen."""
        for tries_left in reversed(range(len(self._spots))):
            try:
                await self._inbox.start()
                break
            except StoreUnavailable:
                if not tries_left:
                    raise
        self._inbox.on_resync(self._missed)
        await self._inbox.subscribe(SWITCH, self._heard)

    async def stop(self) -> None:
        await self._tasks.close()
        await self._inbox.stop()

    def _sentinel(self) -> Address:
        url = self._server.sentinel_url(self._spots[0])
        return Address(url, "redis", url)

    async def _next(self) -> None:
        self._spots.rotate(-1)

    def _heard(self, body: bytes) -> None:
        match body.decode(errors="replace").split():
            case [service, _, _, host, port] if service == self._server.url.service:
                self._server.switched_to(Spot(host, int(port)))
                self._lead()

    def _missed(self) -> None:
        self._tasks.spawn(self._look(), "look for the master")

    async def _look(self) -> None:
        try:
            await self._server.resolve()
        except (StoreUnavailable, StoreRefused):
            return  # Whoever needs a connection asks again.
        self._lead()


class SentinelSite(SingleSite):
    """One server at a time, and whichever it is."""

    def __init__(
        self, server: SentinelServer, limits: WireLimits, emit: Emit, clock: Clock
    ) -> None:
        super().__init__(server, limits, emit, clock)
        self._sentinels = server
        self._led: WeakSet[Calls | Inbox] = WeakSet()
        self._master = server.spot
        self._watch = SwitchWatch(
            server, self._lead, limits=limits, emit=emit, clock=clock
        )

    def calls(self, limits: WireLimits, *, elsewhere: bool = False) -> Calls:
        """In another event loop it finds a switch out by itself, a little later."""
        calls = super().calls(limits, elsewhere=elsewhere)
        if not elsewhere:
            self._led.add(calls)
        return calls

    def inbox(self, calls: Caller) -> Inbox:
        inbox = super().inbox(calls)
        self._led.add(inbox)
        return inbox

    def dialer(self, limits: WireLimits, *, elsewhere: bool = False) -> Dialer:
        return Dialer(
            lambda: self.address,
            connect_timeout_s=limits.connect_timeout_s,
            resolve=self._sentinels.resolve,
            masters_only=True,
        )

    async def look(self, calls: Caller) -> ServerFacts:
        """The master's facts. Replicas are checked too: one may be the next master."""
        facts = await super().look(calls)
        for host, port in facts.replicas:
            url = self._sentinels.url.server_url(Spot(host, port))
            await look_at(url, self._limits, self._emit)
        return facts

    async def follow(self) -> None:
        await self._watch.start()

    async def close(self) -> None:
        await self._watch.stop()
        await super().close()

    def _lead(self) -> None:
        """Leave every connection that does not lead to the master."""
        spot = self._sentinels.spot
        if spot != self._master:
            self._master = spot
            service = self._sentinels.url.service
            self._emit(MasterSwitched(service=service, server=self.address.shown))
        for connection in tuple(self._led):
            connection.leave("another server is the master now", unless=spot.shown)


async def open_sentinel(
    url: FleetUrl, limits: WireLimits, emit: Emit, clock: Clock
) -> SentinelSite:
    """The site of the master that the Sentinels of `url` tell of."""
    server = SentinelServer(url, limits.connect_timeout_s)
    await server.resolve()
    return SentinelSite(server, limits, emit, clock)
