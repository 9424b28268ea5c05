"""Renews the session from a thread of its own, while the event loop is alive.

A busy event loop must not cost the process its locks, and a dead one must not keep
them: the thread has its own loop and its own connection, and looks at the pulse of the
process's loop before each renewal. One script a tag renews everything in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from quorate.core.clock import Chance, Clock
from quorate.core.errors import QuorateError
from quorate.core.events import Emit, Event
from quorate.core.lifecycle import Tasks, to_the_end

from .events import SessionStalled
from .session import Membership, Session, SessionStore

PULSE_S = 0.25
THREAD_END_S = 5.0
SOON = 0.5
"""Past this part of its rest a membership is renewed together with one that is due."""

_AFTER_S = 0.001

OnLate = Callable[[str, float], None]
"""Called in the process's loop: somebody's session in this tag may end in so many s."""


class Keeper:
    """The one who renews. Started and stopped in the process's event loop."""

    name = "keeper"

    def __init__(
        self,
        session: Session,
        open_store: Callable[[], SessionStore],
        *,
        emit: Emit,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._session = session
        self._open_store = open_store
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._on_late: list[OnLate] = []
        self._pulse_at = 0.0
        self._beat: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event | None = None
        self._stopping = False
        self._done = asyncio.Event()
        self._store: SessionStore | None = None
        self._warned_of_stall = False
        self._rest_s = session.terms.renew_every_s
        self._refused: set[str] = set()

    def on_late(self, told: OnLate) -> None:
        """Tell `told` when another session has missed a renewal."""
        self._on_late.append(told)

    async def start(self) -> None:
        """Start the thread. Raises what keeps it from opening its store."""
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._thread_loop = self._bell = None
        self._done.clear()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._pulse()
        self._thread = threading.Thread(
            target=self._live, args=(ready,), name="quorate-keeper", daemon=True
        )
        self._thread.start()
        try:
            await ready
        except BaseException:
            await to_the_end(self.stop(), "stop keeper")
            raise

    async def stop(self) -> None:
        """End the thread. The session itself is ended by its owner. Twice is harmless.

        A thread that hangs in a look-up of a name is left to itself after
        `THREAD_END_S`; it renews nothing any more.
        """
        if self._beat is not None:
            self._beat.cancel()
        self._stopping = True
        self._ring()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            async with asyncio.timeout(THREAD_END_S):
                await self._done.wait()
        except TimeoutError:
            return
        thread.join()

    async def tick(self) -> float:
        """One round: look at the pulse, renew what is due.

        Runs in the keeper's thread. Returns the seconds until the next round. What is
        no longer trusted is never renewed; the pulse in the process's loop loses it.
        """
        if self._loop is None or self._loop.is_closed():
            self._ring()
        now = self._clock.monotonic()
        members = self._trusted(now)
        due = self._due(members, now)
        if not due:
            return self._until_next(members, now)
        if self._is_stalled(now):
            return self._session.terms.retry_every_s
        renewed = await asyncio.gather(*[self._renew(member) for member in due])
        if not all(renewed):
            return self._session.terms.retry_every_s
        self._rest_s = self._session.terms.renew_every_s * (
            0.9 + 0.1 * self._chance.random()
        )
        now = self._clock.monotonic()
        return self._until_next(self._trusted(now), now)

    def _due(self, members: list[Membership], now: float) -> list[Membership]:
        """Whom to renew now. When one is due, who will be soon is renewed with it.

        So all that a process lives in falls into step, and leaves in one write a node.
        """
        ages_s = [now - member.lease.asked_at for member in members]
        if max(ages_s, default=0.0) < self._rest_s * 0.99:
            return []
        soon_s = self._rest_s * SOON
        return [m for m, age_s in zip(members, ages_s, strict=True) if age_s >= soon_s]

    def _trusted(self, now: float) -> list[Membership]:
        """What is worth renewing: neither lost by time nor ended by the server."""
        members = self._session.memberships()
        self._refused &= {member.name for member in members}
        return [
            member
            for member in members
            if member.lease.is_trusted(now) and member.name not in self._refused
        ]

    def _until_next(self, members: list[Membership], now: float) -> float:
        if not members:
            return min(PULSE_S, self._rest_s)
        first = min(member.lease.asked_at for member in members)
        return max(0.0, first + self._rest_s - now)

    async def _renew(self, member: Membership) -> bool:
        """False if it has to be tried again. Waits no longer than the trust lasts."""
        assert self._store is not None
        terms, asked_at = self._session.terms, self._clock.monotonic()
        within_s = min(terms.renew_every_s, member.lease.left_s(asked_at))
        try:
            async with asyncio.timeout(within_s):
                alive, _, first_end_s, dead = await self._store.renew(
                    member.tag, member.name, self._session.ttl_ms
                )
        except (QuorateError, TimeoutError):
            return False
        if not alive:
            self._refused.add(member.name)
            self._in_loop(self._session.lost, member, "the server had ended it")
            return True
        self._session.renewed(member, asked_at)
        if dead:
            self._late(member.tag, 0.0)
        elif first_end_s is not None and terms.somebody_is_late(first_end_s):
            self._late(member.tag, first_end_s)
        return True

    def _is_stalled(self, now: float) -> bool:
        """Does the process's loop stand still? Warned of at half of what is allowed."""
        stalled_s, limit_s = now - self._pulse_at, self._session.terms.max_stall_s
        if stalled_s < limit_s / 2:
            self._warned_of_stall = False
        elif not self._warned_of_stall:
            self._warned_of_stall = True
            event = SessionStalled(session=self._session.id, stalled_s=stalled_s)
            self._in_loop(self._emit, event)
        return stalled_s > limit_s

    def _late(self, tag: str, in_s: float) -> None:
        for told in self._on_late:
            self._in_loop(told, tag, in_s)

    def _in_loop(self, do: Callable[..., None], *args: object) -> None:
        """Let the process's own loop do it, as soon as it comes round."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # that loop has been closed
                self._loop.call_soon_threadsafe(do, *args)

    def _pulse(self) -> None:
        """The process's loop is alive; and it loses at once what it may not trust."""
        assert self._loop is not None
        self._pulse_at = self._clock.monotonic()
        next_s = min(PULSE_S, self._session.look() + _AFTER_S)
        self._beat = self._loop.call_later(next_s, self._pulse)

    def _ring(self) -> None:
        """Tell the thread to end. From any thread."""
        loop, bell = self._thread_loop, self._bell
        if loop is not None and bell is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(bell.set)

    def _live(self, ready: asyncio.Future[None]) -> None:
        """The thread, from beginning to end."""
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            self._in_loop(_settle, ready, error)
        finally:
            self._in_loop(self._done.set)

    async def _serve(self, ready: asyncio.Future[None]) -> None:
        self._bell = asyncio.Event()
        self._thread_loop = asyncio.get_running_loop()
        if self._stopping:
            return
        self._store = self._open_store()
        tasks = Tasks(self._hop, self._clock)
        self._in_loop(_settle, ready, None)
        try:
            tasks.employ(self)
            await self._bell.wait()
        finally:
            await tasks.close()
            await self._store.close()

    def _hop(self, event: Event) -> None:
        self._in_loop(self._emit, event)


def _settle(ready: asyncio.Future[None], error: Exception | None) -> None:
    if ready.done():
        return
    if error is None:
        ready.set_result(None)
    else:
        ready.set_exception(error)
