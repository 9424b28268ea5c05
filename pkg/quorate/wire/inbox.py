"""One subscription connection a process: messages in, by channel.

A message is only ever a hint that the state on the server has changed. After a lost
connection everything is subscribed again and whoever asked for it is told to look at
the state (`on_resync`), because what was published meanwhile is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import hiredis

from quorate.core.clock import Clock
from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import Emit, Event, ListenerFailed
from quorate.core.lifecycle import Duty, Tasks

from .link import Dialer, Link, Reply, pack
from .subscribing import MOVED, PLAIN, SHARDED, ChannelMoved

Hear = Callable[[bytes], None]
Resync = Callable[[], None]

Moved = Callable[[str], None]
"""Called with a channel that this server serves no more."""

PING_EVERY_S = 10.0
SILENCE_S = 15.0
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
    """Channels and who hears them. Handlers are plain functions and must be quick.

    One that raises harms nobody else: its error becomes a `ListenerFailed`.
    """

    name = "inbox"

    def __init__(
        self,
        dialer: Dialer,
        *,
        timeout_s: float,
        emit: Emit,
        clock: Clock,
        moved: Moved | None = None,
    ) -> None:
        """With `moved` it is one node of a Cluster."""
        self._words = PLAIN if moved is None else SHARDED
        self._moved = moved
        self._dialer = dialer
        self._timeout_s = timeout_s
        self._emit = emit
        self._clock = clock
        self._tasks = Tasks(emit, clock)
        self._duty: Duty | None = None
        self._link: Link | None = None
        self._opening = False
        self._handlers: dict[bytes, list[Hear]] = {}
        self._asked: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._confirmed: set[bytes] = set()
        self._resync: list[Resync] = []
        self._heard_at = 0.0
        self._tried_at = 0.0
        self._lost_at: float | None = None

    async def start(self) -> None:
        """Connect; raises `StoreUnavailable` if that fails now."""
        await self._open()
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        """Close the connection; who waits for a confirmation gets an error."""
        await self._tasks.close()
        if self._link is not None:
            self._drop("the inbox was closed")

    def leave(self, why: str, unless: str = "") -> None:
        """Have done with the connection now and open another.

        One to the server `unless` is kept.
        """
        if self._link is not None and self._link.peer != unless:
            self._gone(why)
            if self._duty is not None:
                self._duty.wake()

    def on_resync(self, resync: Resync) -> Callable[[], None]:
        """Call `resync` after every restored connection. Returns its undoing."""
        self._resync.append(resync)

        def leave() -> None:
            if resync in self._resync:
                self._resync.remove(resync)

        return leave

    async def subscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` from now on; returns when the server has confirmed it.

        The same handler again is the same subscription. Raises `StoreUnavailable` if
        there is no connection, and `StoreRefused` if the user may not. Even then, and
        when the caller is cancelled, the handler stays and is served as soon as that
        can be; only `unsubscribe` undoes it.
        """
        key = channel.encode()
        handlers = self._handlers.setdefault(key, [])
        if hear not in handlers:
            handlers.append(hear)
        if key in self._confirmed:
            return
        if self._link is None or not self._link.is_open:
            raise StoreUnavailable(
                f"Not subscribed to {channel} yet.",
                f"{self._dialer.shown} cannot be reached.",
                "It is subscribed as soon as the connection is back.",
            )
        await self._within(self._ask([key]), channel)

    def unsubscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` no more."""
        key = channel.encode()
        handlers = self._handlers.get(key, [])
        if hear in handlers:
            handlers.remove(hear)
        if not handlers and self._handlers.pop(key, None) is not None:
            self._confirmed.discard(key)
            if self._link is not None:
                self._link.write(pack(self._words.unsubscribe, key))

    async def tick(self) -> float:
        """Keep the connection alive; bring it back when it is gone."""
        now = self._clock.monotonic()
        if self._link is not None and self._link.is_open:
            if now - self._heard_at > SILENCE_S:
                self._gone(f"nothing was heard for {SILENCE_S:g} s")
                return 0.0
            self._link.write(pack("PING"))
            return PING_EVERY_S
        if now - self._tried_at < REDIAL_S:
            return REDIAL_S - (now - self._tried_at)
        try:
            await self._open()
        except StoreUnavailable:
            return REDIAL_S
        self._restored()
        return PING_EVERY_S

    async def _open(self) -> None:
        """Connect, and subscribe to everything again before anybody is told."""
        self._opening = True
        self._tried_at = self._clock.monotonic()
        link = Link(self._hear, lambda error: self._lost(link, error))
        try:
            await self._dialer.dial(link)
            self._link = link
            self._heard_at = self._clock.monotonic()
            if self._handlers:
                with contextlib.suppress(ChannelMoved):
                    await self._within(self._ask(list(self._handlers)), "every channel")
        except BaseException:
            if self._link is link:
                self._drop("its subscriptions were not confirmed")
            raise
        finally:
            self._opening = False

    def _ask(self, keys: list[bytes]) -> asyncio.Future[None]:
        """Subscribe in one write. The answer is that to the last: they come in order.

        Each question keeps its place in the line even when nobody waits for it any
        longer, so that nobody takes the answer to another's question for his own.
        """
        assert self._link is not None
        loop = asyncio.get_running_loop()
        answers = [(key, loop.create_future()) for key in keys]
        self._asked.extend(answers)
        self._link.write(b"".join(pack(self._words.subscribe, key) for key in keys))
        return answers[-1][1]

    async def _within(self, answer: asyncio.Future[None], what: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await answer
        except TimeoutError as error:
            raise StoreUnavailable(
                f"The subscription to {what} was not confirmed.",
                f"{self._dialer.shown} did not answer in {self._timeout_s:g} s.",
            ) from error

    def _hear(self, reply: Reply) -> None:
        self._heard_at = self._clock.monotonic()
        if type(reply) is list and reply[0] == self._words.message:
            for hear in tuple(self._handlers.get(reply[1], ())):
                self._tell(hear, reply[2])
            return
        match reply:
            case [self._words.subscribed, bytes(channel), _]:
                self._answered(channel)
            case [self._words.unsubscribed, bytes(channel), _]:
                self._ended(channel)
            case hiredis.ReplyError() if self._asked:
                self._refused(*self._asked.popleft(), str(reply))

    def _answered(self, channel: bytes) -> None:
        if not self._asked:
            return
        _, answer = self._asked.popleft()
        asked_again = any(key == channel for key, _ in self._asked)
        if channel in self._handlers and not asked_again:
            self._confirmed.add(channel)
        if not answer.done():
            answer.set_result(None)

    def _refused(self, key: bytes, answer: asyncio.Future[None], why: str) -> None:
        what = f"{self._dialer.shown} refused a subscription."
        moved = self._moved is not None and why.partition(" ")[0] in MOVED
        if not answer.done():
            kind = ChannelMoved if moved else StoreRefused
            answer.set_exception(kind(what, why))
            answer.exception()
        if moved:
            self._ended(key)

    def _ended(self, key: bytes) -> None:
        """The server serves a channel no more that somebody here still hears."""
        self._confirmed.discard(key)
        if self._moved is not None and key in self._handlers:
            self._moved(key.decode())

    def _tell(self, listener: Callable[..., None], *what: bytes) -> None:
        try:
            listener(*what)
        except Exception as error:
            self._emit(
                ListenerFailed(
                    heard="message" if what else InboxRestored.__name__,
                    listener=getattr(listener, "__qualname__", repr(listener)),
                    error=f"{type(error).__name__}: {error}",
                )
            )

    def _lost(self, link: Link, error: Exception | None) -> None:
        if link is not self._link:
            return
        self._gone(str(error) if error else "the server hung up")
        if self._duty is not None and not self._opening:
            self._duty.wake()

    def _gone(self, why: str) -> None:
        self._drop(why)
        if self._lost_at is None:
            self._lost_at = self._clock.monotonic()
            self._emit(InboxLost(server=self._dialer.shown))

    def _drop(self, why: str) -> None:
        """Have done with the connection; nothing is subscribed any more."""
        link, self._link = self._link, None
        if link is not None:
            link.mute()
            link.close()
        self._confirmed.clear()
        asked, self._asked = self._asked, deque()
        for _, answer in asked:
            if not answer.done():
                what = f"The connection to {self._dialer.shown} broke."
                answer.set_exception(StoreUnavailable(what, why))
                answer.exception()

    def _restored(self) -> None:
        now = self._clock.monotonic()
        lost_at, self._lost_at = self._lost_at, None
        away_s = now - lost_at if lost_at is not None else 0.0
        self._emit(InboxRestored(server=self._dialer.shown, away_s=away_s))
        for resync in tuple(self._resync):
            self._tell(resync)
