"""Renews the session from a thread of its own, while the event loop is alive.

A busy event loop must not cost the process its locks, and a dead one must not keep
them: the thread has its own loop and its own connection, and looks at the pulse of the
process's loop before each renewal. One script a tag renews everything in it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from quorate.core.clock import Chance, Clock
from quorate.core.errors import QuorateError
from quorate.core.events import Emit, Event
from quorate.core.lifecycle import Tasks

from .events import SessionStalled
from .session import Membership, Session, SessionStore

PULSE_S = 0.25
STALL_WARNED_AT_S = 15.0
THREAD_END_S = 5.0

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
        self._stop: asyncio.Event | None = None
        self._store: SessionStore | None = None
        self._done: asyncio.Event | None = None
        self._warned_of_stall = False
        self._rest_s = session.terms.renew_every_s
        self._endangered: set[str] = set()

    def on_late(self, told: OnLate) -> None:
        """Tell `told` when another session has missed a renewal."""
        self._on_late.append(told)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._pulse()
        ready = asyncio.Event()
        self._thread = threading.Thread(
            target=self._live, args=(ready,), name="quorate-keeper", daemon=True
        )
        self._thread.start()
        await ready.wait()

    async def stop(self) -> None:
        """End the thread. The session itself is ended by its owner."""
        if self._beat is not None:
            self._beat.cancel()
        if self._thread is None or self._thread_loop is None or self._done is None:
            return
        stop = self._stop
        if stop is not None and not self._thread_loop.is_closed():
            self._thread_loop.call_soon_threadsafe(stop.set)
        async with asyncio.timeout(THREAD_END_S):
            await self._done.wait()
        self._thread.join(THREAD_END_S)
        self._thread = None

    async def tick(self) -> float:
        """One round: look at the pulse, renew what is due, tell what is lost.

        Runs in the keeper's thread. Returns the seconds until the next round.
        """
        terms, now = self._session.terms, self._clock.monotonic()
        members = self._session.memberships()
        due = [m for m in members if now - m.lease.asked_at >= self._rest_s * 0.99]
        failed = False
        if due and self._is_stalled(now):
            failed = True
        elif due:
            failed = not all([await self._renew(member) for member in due])
            self._rest_s = terms.renew_every_s * (0.9 + 0.1 * self._chance.random())
        return self._until_next(failed=failed)

    def _until_next(self, *, failed: bool) -> float:
        now = self._clock.monotonic()
        rest_s = PULSE_S
        members = self._session.memberships()
        if members:
            first = min(member.lease.asked_at for member in members)
            rest_s = max(0.0, first + self._rest_s - now)
        if failed:
            rest_s = self._session.terms.retry_every_s
        for member in members:
            if member.lease.is_trusted(now):
                rest_s = min(rest_s, member.lease.left_s(now) + 0.001)
            else:
                rest_s = min(rest_s, self._session.terms.retry_every_s)
                self._in_loop(self._session.lost, member, "not renewed in time")
        return min(rest_s, self._session.terms.renew_every_s)

    async def _renew(self, member: Membership) -> bool:
        assert self._store is not None
        terms, asked_at = self._session.terms, self._clock.monotonic()
        try:
            async with asyncio.timeout(terms.renew_every_s):
                alive, _, first_end_s, dead = await self._store.renew(
                    member.tag, member.name, self._session.ttl_ms
                )
        except (QuorateError, TimeoutError):
            now = self._clock.monotonic()
            if now >= member.lease.danger_at and member.name not in self._endangered:
                self._endangered.add(member.name)
                left_s = member.lease.left_s(now)
                self._in_loop(self._session.endangered, member, left_s)
            return False
        if not alive:
            self._in_loop(self._session.lost, member, "the server had ended it")
            return True
        self._endangered.discard(member.name)
        self._session.renewed(member, asked_at)
        if dead:
            self._late(member.tag, 0.0)
        elif first_end_s is not None and terms.somebody_is_late(first_end_s):
            self._late(member.tag, first_end_s)
        return True

    def _is_stalled(self, now: float) -> bool:
        stalled_s = now - self._pulse_at
        if stalled_s < STALL_WARNED_AT_S:
            self._warned_of_stall = False
        elif not self._warned_of_stall:
            self._warned_of_stall = True
            event = SessionStalled(session=self._session.id, stalled_s=stalled_s)
            self._in_loop(self._emit, event)
        return stalled_s > self._session.terms.max_stall_s

    def _late(self, tag: str, in_s: float) -> None:
        for told in self._on_late:
            self._in_loop(told, tag, in_s)

    def _in_loop(self, do: Callable[..., None], *args: object) -> None:
        """Let the process's own loop do it, as soon as it comes round."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do, *args)

    def _pulse(self) -> None:
        assert self._loop is not None
        self._pulse_at = self._clock.monotonic()
        self._beat = self._loop.call_later(PULSE_S, self._pulse)

    def _live(self, ready: asyncio.Event) -> None:
        """The thread, from beginning to end."""
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: asyncio.Event) -> None:
        self._thread_loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._store = self._open_store()
        tasks = Tasks(self._hop, self._clock)
        self._in_loop(ready.set)
        try:
            tasks.employ(self)
            await self._stop.wait()
        finally:
            await tasks.close()
            await self._store.close()
            if self._done is not None:
                self._in_loop(self._done.set)

    def _hop(self, event: Event) -> None:
        self._in_loop(self._emit, event)
