"""One AMQP connection that is kept: when it breaks, a new one is made.

Nothing is carried over from the old connection to the new one: channels, consumers and
delivery tags die with it. Who uses the line is told of both, and builds anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection

from quorate.core.clock import Chance, Clock
from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import Emit, Event
from quorate.core.lifecycle import Tasks, to_the_end

from .limits import WireLimits
from .rabbit_place import RabbitPlace

HEARTBEAT_S = 15
IDLE_S = 3600.0
FIRST_REST_S = 0.2
LONGEST_REST_S = 3.0
LOOK_EVERY_S = 0.2
BROKEN = (
    aiormq.AMQPError,
    aio_pika.exceptions.AMQPError,
    ConnectionError,
    OSError,
    TimeoutError,
    RuntimeError,
)
"""What any use of a connection or channel may end with when it breaks meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBroken(Event):
    """A connection to RabbitMQ is lost; another is made as soon as that works."""

    level: ClassVar[str] = "warning"
    server: str
    line: str
    error: str


class Line:
    """A role: keeps one connection. `generation` grows with each new one."""

    name = "rabbit line"

    def __init__(
        self,
        place: RabbitPlace,
        title: str,
        limits: WireLimits,
        emit: Emit,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self.title = title
        self.generation = 0
        self._place = place
        self._limits = limits
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._connection: AbstractConnection | None = None
        self._failures = 0
        self._opened = asyncio.Event()
        self._wake: Callable[[], None] = lambda: None
        self._told_lost: list[Callable[[], None]] = []
        self._told_open: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Is there a connection now?"""
        return self._connection is not None

    @property
    def properties(self) -> dict[str, object]:
        """What the server has said of itself."""
        connection = self._live()
        return dict(connection.transport.connection.server_properties)  # type: ignore[union-attr]

    def on_lost(self, told: Callable[[], None]) -> None:
        """Call `told` when the connection is lost."""
        self._told_lost.append(told)

    def on_open(self, told: Callable[[], None]) -> None:
        """Call `told` when there is a new connection after a lost one."""
        self._told_open.append(told)

    def watch(self, tasks: Tasks) -> None:
        """From now on make a new connection when this one is lost."""
        self._wake = tasks.employ(self).wake

    async def open(self) -> None:
        """Connect. Raises `StoreUnavailable` or `StoreRefused`."""
        try:
            connection = await aio_pika.connect(
                self._place.url,
                timeout=self._limits.connect_timeout_s,
                heartbeat=HEARTBEAT_S,
                client_properties={"connection_name": f"quorate {self.title}"},
            )
        except (
            aiormq.exceptions.AuthenticationError,
            aiormq.exceptions.ProbableAuthenticationError,
        ) as error:
            raise StoreRefused(
                f"{self._place.shown} lets nobody in by that name.",
                f"ACCESS_REFUSED {error}",
                "Check user, password and vhost in the URL.",
            ) from error
        except BROKEN as error:
            raise self.away(error) from error
        self._connection = connection
        self.generation += 1
        self._failures = 0
        connection.close_callbacks.add(self._closed)
        self._opened.set()

    async def close(self) -> None:
        """Leave. Twice is harmless."""
        connection, self._connection = self._connection, None
        self._opened.clear()
        self._told_lost.clear()
        self._told_open.clear()
        if connection is not None:
            with contextlib.suppress(*BROKEN):
                async with asyncio.timeout(self._limits.timeout_s):
                    await connection.close()

    async def tick(self) -> float:
        """Connect if there is no connection."""
        if self._connection is not None:
            return IDLE_S
        try:
            # Half a connection that nobody closes would be left behind otherwise.
            await to_the_end(self.open(), "connect to RabbitMQ")
        except (StoreUnavailable, StoreRefused):
            self._failures += 1
            rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self._failures, 8))
            return rest_s * (0.5 + 0.5 * self._chance.random())
        for told in tuple(self._told_open):
            told()
        return IDLE_S

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new channel. Raises `StoreUnavailable` while there is no connection."""
        connection = self._live()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                channel = connection.channel(
                    publisher_confirms=confirms, on_return_raises=confirms
                )
                await channel.initialize()
                return channel
        except BROKEN as error:
            raise self.away(error) from error

    async def ready(self, within_s: float) -> bool:
        """Wait until there is a connection that takes something.

        False if it took too long; then `trouble` says what is the matter.
        """
        try:
            async with asyncio.timeout(within_s):
                while not await self._takes_in():
                    pass
        except TimeoutError:
            return False
        return True

    def away(self, error: BaseException | None = None) -> StoreUnavailable:
        """The error for a broker that cannot be reached."""
        words = f"{type(error).__name__}: {error}" if error is not None else ""
        return StoreUnavailable(
            f"{self._place.shown} cannot be reached.",
            words.strip(": "),
            "Does RabbitMQ run there? It is tried again and again meanwhile.",
        )

    def trouble(self) -> StoreUnavailable:
        """The error for who has waited in vain until the line was ready."""
        if self._connection is None:
            return self.away()
        return StoreUnavailable(
            f"{self._place.shown} takes nothing in.",
            "It has raised an alarm: it lacks memory, or room on its disk.",
            "Make room there; it takes more in as soon as it has some.",
        )

    async def _takes_in(self) -> bool:
        """Wait for a connection, and a moment for it to be one that takes something.

        Only a moment, because meanwhile it may be lost, and another one be there.
        """
        await self._opened.wait()
        transport = self._live().transport
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                if transport is None:
                    await self._clock.sleep(LOOK_EVERY_S)
                    return False
                await transport.connection.ready()
        except TimeoutError:
            return False
        return True

    def _live(self) -> AbstractConnection:
        if self._connection is None:
            raise self.away()
        return self._connection

    def _closed(self, connection: object, error: BaseException | None) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._opened.clear()
        self._emit(
            LineBroken(
                server=self._place.shown,
                line=self.title,
                error=f"{type(error).__name__}: {error}" if error else "closed",
            )
        )
        for told in tuple(self._told_lost):
            told()
        self._wake()
