"""All that a process needs of one RabbitMQ: `amqp://`.

Two connections: one to publish, one to consume, because a broker that holds back
publishers must not hold back acknowledgements. The consuming one is the session: when
it breaks, the broker gives everything unacknowledged to others at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from quorate.core.clock import Chance, Clock, SystemClock, fresh_chance
from quorate.core.errors import MissingCapability, StoreRefused
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Tasks, to_the_end

from .address import Address
from .events import WireOpened
from .keys import Keyspace
from .limits import WireLimits
from .rabbit_place import read_rabbit_url
from .rabbit_sessions import RabbitSessions, Roll

if TYPE_CHECKING:
    from .rabbit_line import Line
    from .rabbit_publisher import Publisher

T = TypeVar("T")
OLDEST = (3, 10)
"""Quorum queues dead-letter at least once, and let messages expire, since then."""


class RabbitWire:
    """The connections of this process to one broker. `await start()` before use."""

    scheme = "amqp"

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
        self.place = read_rabbit_url(url)
        self.namespace = Keyspace(namespace).namespace
        self.limits = limits or WireLimits()
        self.emit = emit
        self.clock: Clock = clock or SystemClock()
        self.chance: Chance = fresh_chance()
        self.version: tuple[int, ...] = ()
        self.roll = Roll()
        self.tasks = Tasks(emit, self.clock)
        self._publishing: Line | None = None
        self._consuming: Line | None = None
        self._publisher: Publisher | None = None
        self._gone: list[Callable[[str], None]] = []

    @property
    def tag(self) -> str:
        """What the names of all queues of this namespace begin with."""
        return self.namespace

    @property
    def address(self) -> Address:
        """Where the broker is."""
        return Address(url=self.url, kind="rabbit", shared=self.url)

    @property
    def consuming(self) -> Line:
        """The connection for what comes in."""
        return _opened(self._consuming)

    @property
    def publishing(self) -> Line:
        """The connection for what goes out, and for questions."""
        return _opened(self._publishing)

    @property
    def publisher(self) -> Publisher:
        """Puts messages in and waits until the broker has them."""
        return _opened(self._publisher)

    async def start(self) -> None:
        """Connect, and check that this is a RabbitMQ that is fit."""
        line, publisher = _client()
        kept = (self.place, self.limits, self.emit, self.clock, self.chance)
        place, limits, emit, clock, chance = kept
        self._publishing = line(place, "publishing", limits, emit, clock, chance)
        self._consuming = line(place, "consuming", limits, emit, clock, chance)
        try:
            await self._publishing.open()
            self._look(self._publishing.properties)
            await self._consuming.open()
        except BaseException:
            await to_the_end(self.stop(), "stop wire")
            raise
        self._publisher = publisher(self._publishing, limits, clock)
        self._consuming.on_lost(self._lost)
        self._publishing.watch(self.tasks)
        self._consuming.watch(self.tasks)

    async def stop(self) -> None:
        """Close both connections. Twice is harmless."""
        await self.tasks.close()
        lines = (self._consuming, self._publishing)
        self._publisher = self._consuming = self._publishing = None
        for line in lines:
            if line is not None:
                await line.close()

    def sessions(self) -> RabbitSessions:
        """The sessions: whoever joined over the connection that is open now."""
        return RabbitSessions(self.roll, self.clock, lambda: self.consuming.is_open)

    def new_sessions(self, within_s: float | None = None) -> RabbitSessions:
        """The same for the keeper's thread, which has nothing to send."""
        return self.sessions()

    def on_session_gone(self, told: Callable[[str], None]) -> None:
        """Call `told` with the name of a session whose connection broke."""
        self._gone.append(told)

    def give_up(self) -> None:
        """A channel broke by itself: what it had brought is lost, so all start anew.

        The broker closes channels one by one, and a claim names no channel.
        """
        self._lost()

    def _lost(self) -> None:
        for name in self.roll.clear():
            for told in self._gone:
                told(name)

    def _look(self, said: dict[str, object]) -> None:
        """Refuse what would fail later."""
        software, version = str(said.get("product", "")), str(said.get("version", ""))
        self.version = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
        if software != "RabbitMQ":
            raise StoreRefused(
                f"{self.place.shown} is not a RabbitMQ but {software or 'unknown'}.",
                "PRODUCT Its queues are not replicated as this library needs it.",
                "Give the URL of a RabbitMQ.",
            )
        if self.version < OLDEST:
            raise MissingCapability(
                f"{self.place.shown} runs RabbitMQ {version}.",
                f"RabbitMQ {'.'.join(map(str, OLDEST))} or later is needed.",
                "Upgrade it.",
            )
        self.emit(
            WireOpened(server=self.place.shown, software="rabbitmq", version=version)
        )


def _client() -> tuple[type[Line], type[Publisher]]:
    try:
        from .rabbit_line import Line
        from .rabbit_publisher import Publisher
    except ImportError as error:
        raise MissingCapability(
            "amqp:// cannot be used here.",
            f"{error.name} is not installed.",
            "Install it: pip install 'quorate[rabbit]'",
        ) from error
    return Line, Publisher


def _opened(part: T | None) -> T:
    if part is None:
        raise MissingCapability("The wire is not open.", fix="Call start() first.")
    return part
