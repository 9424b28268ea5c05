"""A master that Sentinels watch over, followed wherever it goes.

Every connection asks the Sentinels first and hangs up on a server that is a replica by
now. One more connection hears of a switch as soon as it is decided, so that nobody
waits for a master that is frozen or cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

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
from .single import SingleSite, look_at

ASK_WITHIN_S = 1.0
SWITCH = "+switch-master"

State = dict[str, Any]
"""What a Sentinel says of the master, as redis-py tells it."""


class SentinelServer:
    """The master of one service, by the word of its Sentinels. Loop by loop.

    Sentinels without a password are asked without one; those that want one get that of
    the data servers.
    """

    def __init__(self, url: FleetUrl, within_s: float = ASK_WITHIN_S) -> None:
        self.url = url
        self._within_s = min(within_s, ASK_WITHIN_S)
        self.spot = url.spots[0]
        self._address: Address | None = None
        self._judge = Sentinel([])  # type: ignore[no-untyped-call]
        self._wants_password: set[Spot] = set()

    @property
    def address(self) -> Address:
        if self._address is None:
            raise RuntimeError("resolve() has not yet been awaited")
        return self._address

    async def resolve(self) -> Address:
        """Where the master is, by the newest configuration that a majority knows of.

        A switch is decided by a majority, so among the answers of any majority is one
        of somebody who took part in the last. Raises `StoreUnavailable` while there is
        no master, or no Sentinel answers; `StoreRefused` if they know no such service.
        """
        tasks = Tasks()
        answers: list[dict[str, State]] = []
        failures: list[str] = []
        try:
            asking = {tasks.spawn(self._ask(spot), "ask") for spot in self.url.spots}
            while asking and len(answers) * 2 <= len(self.url.spots):
                done, asking = await asyncio.wait(
                    asking, return_when=asyncio.FIRST_COMPLETED
                )
                for answer in [task.result() for task in done]:
                    if isinstance(answer, str):
                        failures.append(answer)
                    else:
                        answers.append(answer)
        finally:
            await tasks.close()
        if not answers:
            raise StoreUnavailable(
                f"No Sentinel of {self.url.service} answers.",
                "; ".join(failures),
                "Are they running, and are the addresses right?",
            )
        return self.point_to(self._master(answers))

    def point_to(self, spot: Spot) -> Address:
        """The master is there."""
        shared = self.url.url
        self._address = Address(self.url.server_url(spot), "sentinel", shared)
        self.spot = spot
        return self._address

    async def close(self) -> None:
        return None

    def sentinel_url(self, spot: Spot) -> str:
        """The URL of one Sentinel, with a password if it is known to want one."""
        return self.url.sentinel_url(spot, known=spot in self._wants_password)

    async def _ask(self, spot: Spot) -> dict[str, State] | str:
        """What the Sentinel knows of its masters, or why it says nothing."""
        try:
            try:
                return await self._masters(spot)
            except AuthenticationError:
                if not self.url.who or spot in self._wants_password:
                    raise
            self._wants_password.add(spot)
            return await self._masters(spot)
        except (RedisError, OSError, TimeoutError) as error:
            return f"{spot}: {error or type(error).__name__}"

    async def _masters(self, spot: Spot) -> dict[str, State]:
        client: Redis = Redis.from_url(
            self.sentinel_url(spot),
            protocol=2,
            socket_timeout=self._within_s,
            socket_connect_timeout=self._within_s,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        async with client, asyncio.timeout(self._within_s):
            masters = await client.sentinel_masters()
            return cast("dict[str, State]", masters)

    def _master(self, answers: list[dict[str, State]]) -> Spot:
        service = self.url.service
        states = [answer[service] for answer in answers if service in answer]
        if not states:
            known = sorted({name for answer in answers for name in answer})
            raise StoreRefused(
                f"The Sentinels know no service {service!r}.",
                f"They know {', '.join(known) or 'none'}.",
                "Check the name behind the hosts in the URL.",
            )
        newest = max(state["config-epoch"] for state in states)
        for state in states:
            if state["config-epoch"] == newest and self._judge.check_master_state(
                state, service
            ):
                return Spot(state["ip"], state["port"])
        raise StoreUnavailable(
            f"{service} has no master right now.",
            "The Sentinels say that it is down and no other is chosen yet.",
            "It usually passes within seconds.",
        )


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
                self._server.point_to(Spot(host, int(port)))
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
