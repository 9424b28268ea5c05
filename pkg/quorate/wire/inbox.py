"""One subscription connection a process: messages in, by channel.

A message is only ever a hint that the state on the server has changed. After a lost
connection everything is subscribed again and whoever asked for it is told to look at
the state (`on_resync`), because what was published meanwhile is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from quorate.core.clock import Clock
from quorate.core.errors import StoreUnavailable
from quorate.core.events import Emit, Event
from quorate.core.lifecycle import Duty, Tasks

from .link import Dialer, Link, Reply, pack

Hear = Callable[[bytes], None]
Resync = Callable[[], None]

PING_EVERY_S = 5.0
SILENCE_S = 12.0
REDIAL_S = 0.25
"""A lost subscription is tried again at once and then four times a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLost(Event):
    """The subscription connection broke; messages are missed until it is back."""

    level: ClassVar[str] = "warning"
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRestored(Event):
    """The subscription connection is back, and everybody has been told to look."""

    server: str
    away_s: float


class Inbox:
    """Channels and who hears them. Handlers are plain functions and must be quick."""

    def __init__(
        self, dialer: Dialer, *, timeout_s: float, emit: Emit, clock: Clock
    ) -> None:
        self._dialer = dialer
        self._timeout_s = timeout_s
        self._emit = emit
        self._clock = clock
        self._tasks = Tasks(emit, clock)
        self._duty: Duty | None = None
        self._link: Link | None = None
        self._handlers: dict[bytes, list[Hear]] = {}
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._resync: list[Resync] = []
        self._heard_at = 0.0
        self._lost_at: float | None = None

    name = "inbox"

    async def start(self) -> None:
        """Connect; raises `StoreUnavailable` if that fails now."""
        await self._open()
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        await self._tasks.close()
        if self._link is not None:
            self._link.mute()
            self._link.close()
            self._link = None

    def on_resync(self, resync: Resync) -> Callable[[], None]:
        """Call `resync` after every restored connection. Returns its undoing."""
        self._resync.append(resync)
        return lambda: self._resync.remove(resync)

    async def subscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` from now on; returns when the server has confirmed it.

        Raises `StoreUnavailable` if there is no connection; the handler stays and is
        served as soon as there is one.
        """
        key = channel.encode()
        self._handlers.setdefault(key, []).append(hear)
        if len(self._handlers[key]) > 1 and key not in self._waiting:
            return
        if self._link is None or not self._link.is_open:
            raise StoreUnavailable(
                f"Not subscribed to {channel} yet.",
                f"{self._dialer.shown} cannot be reached.",
                "It is subscribed as soon as the connection is back.",
            )
        await self._confirm(key)

    def unsubscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` no more."""
        key = channel.encode()
        handlers = self._handlers.get(key, [])
        if hear in handlers:
            handlers.remove(hear)
        if not handlers and self._handlers.pop(key, None) is not None and self._link:
            self._link.write(pack("UNSUBSCRIBE", key))

    async def tick(self) -> float:
        """Keep the connection alive; bring it back when it is gone."""
        if self._link is None or not self._link.is_open:
            try:
                await self._open()
            except StoreUnavailable:
                return REDIAL_S
            self._restored()
            return PING_EVERY_S
        if self._clock.monotonic() - self._heard_at > SILENCE_S:
            self._link.close()
            return 0.0
        self._link.write(pack("PING"))
        return PING_EVERY_S

    async def _open(self) -> None:
        link = Link(self._hear, self._lost)
        await self._dialer.dial(link)
        self._link = link
        self._heard_at = self._clock.monotonic()
        for key in tuple(self._handlers):
            await self._confirm(key)

    async def _confirm(self, key: bytes) -> None:
        assert self._link is not None
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(confirmed)
        self._link.write(pack("SUBSCRIBE", key))
        try:
            async with asyncio.timeout(self._timeout_s):
                await confirmed
        except TimeoutError as error:
            raise StoreUnavailable(
                f"The subscription to {key.decode()} was not confirmed.",
                f"{self._dialer.shown} did not answer in {self._timeout_s:g} s.",
            ) from error

    def _hear(self, reply: Reply) -> None:
        self._heard_at = self._clock.monotonic()
        if not isinstance(reply, list) or not reply:
            return
        match reply:
            case [b"message", bytes(channel), bytes(body)]:
                for hear in tuple(self._handlers.get(channel, ())):
                    hear(body)
            case [b"subscribe", bytes(channel), _]:
                for confirmed in self._waiting.pop(channel, ()):
                    if not confirmed.done():
                        confirmed.set_result(None)

    def _lost(self, error: Exception | None) -> None:
        self._link = None
        self._lost_at = self._clock.monotonic()
        for waiting in self._waiting.values():
            for confirmed in waiting:
                if not confirmed.done():
                    confirmed.set_exception(
                        StoreUnavailable(
                            f"The connection to {self._dialer.shown} broke.", str(error)
                        )
                    )
        self._waiting.clear()
        self._emit(InboxLost(server=self._dialer.shown))
        if self._duty is not None:
            self._duty.wake()

    def _restored(self) -> None:
        away_s = self._clock.monotonic() - (self._lost_at or self._heard_at)
        self._emit(InboxRestored(server=self._dialer.shown, away_s=away_s))
        for resync in tuple(self._resync):
            resync()
