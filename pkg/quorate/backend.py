"""One backend of a process: its wire, its session, and who looks after the two.

Stands between the mechanisms and the capabilities. `node.py` opens one for each
distinct URL; a manager that is used alone (`get_lock_manager(url)`) opens its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from quorate.core.clock import Chance, Clock, SystemClock, fresh_chance
from quorate.core.errors import InvalidUrl, MissingCapability
from quorate.core.events import Emit, silent
from quorate.core.ids import new_session_id
from quorate.core.lifecycle import Household, Tasks, to_the_end
from quorate.lease.keeper import Keeper
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.lease.sweeper import Room, Sweeper
from quorate.wire.consul import ConsulWire
from quorate.wire.consul_place import read_consul_url
from quorate.wire.fleet_urls import check_url
from quorate.wire.rabbit import RabbitWire
from quorate.wire.rabbit_place import read_rabbit_url
from quorate.wire.redis import Wire, WireLimits
from quorate.wire.urls import RABBIT, scheme_of

Server = Wire | ConsulWire | RabbitWire
KINDS: dict[str, type[Server]] = {
    "consul": ConsulWire,
    **dict.fromkeys(RABBIT, RabbitWire),
}
CHECKS: dict[str, Callable[[str], object]] = {
    "consul": read_consul_url,
    **dict.fromkeys(RABBIT, read_rabbit_url),
}
STANDS_ON = {"consul": ("locks",), **dict.fromkeys(RABBIT, ("queue",))}
"""Which capabilities can stand on a server that is no Redis."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Which server each capability uses.

    `queue_state` is where the state of tasks is kept that RabbitMQ carries, if at all.
    """

    locks: str
    registry: str
    queue: str
    config: str
    queue_state: str = ""

    def named(self) -> dict[str, str]:
        """The URL of each capability that has one."""
        return {name: url for name, url in asdict(self).items() if url}

    def urls(self) -> tuple[str, ...]:
        """Each distinct URL once."""
        urls = (self.locks, self.registry, self.queue, self.config, self.queue_state)
        return tuple(dict.fromkeys(url for url in urls if url))

    def check(self) -> None:
        """Raise `InvalidUrl` for a URL that cannot be used. Opens nothing."""
        for url in self.urls():
            CHECKS.get(scheme_of(url), check_url)(url)
        for name in ("locks", "registry", "queue", "config", "queue_state"):
            url = getattr(self, name)
            scheme = scheme_of(url) if url else "redis"
            able = STANDS_ON.get(scheme, (name,))
            if name not in able:
                raise InvalidUrl(
                    f"{name} cannot stand on {scheme}://.",
                    f"Of this version's capabilities only the {able[0]} can.",
                    f'Write connect("redis://…", {able[0]}="{scheme}://…").',
                )
        if self.queue_state and scheme_of(self.queue) not in RABBIT:
            raise InvalidUrl(
                "queue_state is given, and the queue is not on RabbitMQ.",
                "On a Redis the queue keeps its own state.",
                'Write connect("redis://…", queue="amqp://…", queue_state="redis://…").',
            )


class Backend:
    """A server in use. `await start()` before, `await stop()` after; or `async with`.

    Stopping gives the session up: what the process still claims is free at once.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "quorate",
        terms: LeaseTerms | None = None,
        limits: WireLimits | None = None,
        emit: Emit = silent,
    ) -> None:
        self.url = url
        self.emit = emit
        self.clock: Clock = SystemClock()
        self.chance: Chance = fresh_chance()
        self.terms = terms or LeaseTerms()
        self.namespace = namespace
        self.server: Server = KINDS.get(scheme_of(url), Wire)(
            url, namespace=namespace, limits=limits, emit=emit, clock=self.clock
        )
        self._ident = new_session_id()
        self._tasks = Tasks(emit, self.clock)
        self._household = Household()
        self._session: Session | None = None
        self._sweeper: Sweeper | None = None
        self._rooms: list[Room] = []

    @property
    def wire(self) -> Wire:
        """The wire to a Redis. `server` is the wire to whatever server this is."""
        if not isinstance(self.server, Wire):
            able = STANDS_ON[scheme_of(self.url)][0]
            raise MissingCapability(
                f"{self.server.scheme}:// cannot do this yet.",
                f"Of this version's capabilities only the {able} can stand on it.",
                "Use redis:// or embedded:// for the others.",
            )
        return self.server

    @property
    def lock_server(self) -> Wire | ConsulWire:
        """The wire to a server that can grant locks."""
        if isinstance(self.server, RabbitWire):
            return self.wire  # which says what is wrong
        return self.server

    @property
    def session(self) -> Session:
        """The session of this process with the server."""
        if self._session is None:
            raise RuntimeError("the backend is not open: call start() first")
        return self._session

    @property
    def sweeper(self) -> Sweeper:
        """Who cleans up after sessions that died."""
        if self._sweeper is None:
            raise RuntimeError("the backend is not open: call start() first")
        return self._sweeper

    async def start(self) -> None:
        """Connect and begin to keep the session. A backend is opened once."""
        if self._session is not None:
            raise RuntimeError("the backend was open already: make a new one")
        await self._household.start(self.server)
        sessions = self.server.sessions()
        self._session = Session(
            self._ident, sessions, self.terms, self.emit, self.clock
        )
        self._sweeper = Sweeper(
            sessions,
            emit=self.emit,
            clock=self.clock,
            chance=self.chance,
            alert_s=self.terms.renew_every_s + 1.0,
        )
        keeper = Keeper(
            self._session,
            lambda: self.server.new_sessions(self.terms.renew_every_s / 2),
            emit=self.emit,
            clock=self.clock,
            chance=self.chance,
        )
        keeper.on_late(self._sweeper.look_in)
        if not isinstance(self.server, Wire):
            self.server.on_session_gone(self._session_gone)
        try:
            await self._household.start(keeper)
        except BaseException:
            await self._household.stop()
            raise
        self._sweeper.wake = self._tasks.employ(self._sweeper).wake

    def _session_gone(self, name: str) -> None:
        """The server tells before the next renewal that a session is over."""
        for member in self.session.memberships():
            if member.name == name:
                self.session.lost(member, "the server had ended it")

    async def stop(self) -> None:
        """End the session, then the connections. Twice is harmless."""
        await to_the_end(self._stop(), "stop backend")

    async def _stop(self) -> None:
        try:
            await self._tasks.close()
            if self._session is not None:
                await self._session.end()
        finally:
            await self._household.stop()

    async def __aenter__(self) -> Backend:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
