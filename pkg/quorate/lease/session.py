"""One session a process: what all of its claims hang on.

A process enters a tag once (`join`) and writes the name it gets into every claim there.
The keeper renews it from its own thread. When it is lost in a tag, the claims of that
tag are lost with it, everybody who asked is told, and the next `join` enters under a
new name; nothing is revived.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from quorate.core.clock import Clock
from quorate.core.errors import (
    SessionLostError,
    StoreError,
    StoreUnavailable,
    words_of,
)
from quorate.core.events import Emit, ListenerFailed

from .events import SessionEndangered, SessionEnded, SessionJoined, SessionLost
from .lease import Lease, LeaseTerms

OnLost = Callable[[str, str], None]
"""Called with the tag and the name that was lost, in the process's event loop."""


class SessionStore(Protocol):
    """Where sessions are kept. One object serves one event loop."""

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool: ...

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]: ...

    async def end(self, tag: str, session: str) -> bool: ...

    async def dead(self, tag: str) -> list[str]: ...

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Membership:
    """A session in one tag, as far as this process may trust it."""

    tag: str
    name: str
    lease: Lease


class _Door:
    """One at a time enters a tag; whoever waits meanwhile shares what came of it."""

    __slots__ = ("failure", "failures", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failures = 0
        self.failure: StoreError | None = None


class Session:
    """The session of this process with one backend. Read from any thread."""

    def __init__(
        self,
        ident: str,
        store: SessionStore,
        terms: LeaseTerms,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.id = ident
        self.terms = terms
        self.clock = clock
        self._store = store
        self._emit = emit
        self._lock = threading.Lock()
        self._members: dict[str, Membership] = {}
        self._turn = 0
        self._doors: dict[str, _Door] = {}
        self._on_lost: list[OnLost] = []
        self._endangered: set[str] = set()
        self._over = False

    @property
    def ttl_ms(self) -> int:
        return int(self.terms.ttl_s * 1000)

    async def join(self, tag: str) -> str:
        """The name under which this process lives in `tag`, entering if need be.

        Costs nothing when it is inside already. Raises `StoreUnavailable` when the
        server cannot be reached or answers too late, `SessionLostError` after `end`.
        """
        name = self.name_in(tag)
        if name is not None:
            return name
        door = self._doors.setdefault(tag, _Door())
        failures = door.failures
        async with door.lock:
            name = self.name_in(tag)
            if name is not None:
                return name
            failure = door.failure
            if failure is not None and door.failures > failures:
                raise type(failure)(failure.what, failure.why, failure.fix)
            try:
                return await self._enter(tag)
            except StoreError as error:
                door.failure, door.failures = error, door.failures + 1
                raise

    def name_in(self, tag: str) -> str | None:
        """The name in `tag`, or None while the process is not, or no longer, inside."""
        member = self._members.get(tag)
        if member is None or not member.lease.is_trusted(self.clock.monotonic()):
            return None
        return member.name

    def is_alive(self, tag: str, name: str) -> bool:
        """Is the process still inside `tag` under this very name?"""
        return self.name_in(tag) == name

    def trust(self, tag: str, name: str, now: float) -> float:
        """Until when the process is certainly inside under this very name; 0 if not."""
        member = self._members.get(tag)
        if member is None or member.name != name or not member.lease.is_trusted(now):
            return 0.0
        return member.lease.trusted_until

    def trusted_until(self, tag: str) -> float:
        """The monotonic moment until which the session can be trusted; 0 if outside."""
        member = self._members.get(tag)
        return member.lease.trusted_until if member else 0.0

    def memberships(self) -> tuple[Membership, ...]:
        """Where the process lives now."""
        with self._lock:
            return tuple(self._members.values())

    def on_lost(self, told: OnLost) -> Callable[[], None]:
        """Call `told` when the session is lost in a tag. Returns its undoing."""
        self._on_lost.append(told)

        def leave() -> None:
            if told in self._on_lost:
                self._on_lost.remove(told)

        return leave

    def renewed(self, member: Membership, asked_at: float) -> None:
        """The server has renewed `member`; asked for at `asked_at`. Any thread.

        News that come after the trust has ended change nothing: what was lost once
        stays lost.
        """
        with self._lock:
            mine = self._members.get(member.tag)
            if mine is None or mine.name != member.name:
                return
            if mine.lease.is_trusted(self.clock.monotonic()):
                lease = mine.lease.renewed(asked_at)
                self._members[member.tag] = replace(mine, lease=lease)

    def look(self) -> float:
        """Lose what is trusted no longer, and warn of what soon will not be.

        Only in the process's event loop. Returns the seconds until something of the
        kind may be due; `inf` when the process lives nowhere.
        """
        now = self.clock.monotonic()
        next_s = float("inf")
        for member in self.memberships():
            if not member.lease.is_trusted(now):
                self.lost(member, "not renewed in time")
                continue
            if now < member.lease.danger_at:
                self._endangered.discard(member.name)
                next_s = min(next_s, member.lease.danger_at - now)
                continue
            left_s = member.lease.left_s(now)
            next_s = min(next_s, left_s)
            if member.name not in self._endangered:
                self._endangered.add(member.name)
                self._emit(
                    SessionEndangered(
                        session=member.name, tag=member.tag, left_s=left_s
                    )
                )
        return next_s

    def lost(self, member: Membership, why: str) -> None:
        """The session has ended in this tag. Only in the process's event loop."""
        with self._lock:
            now = self._members.get(member.tag)
            if now is None or now.name != member.name:
                return
            del self._members[member.tag]
        self._endangered.discard(member.name)
        self._emit(SessionLost(session=member.name, tag=member.tag, why=why))
        for told in tuple(self._on_lost):
            try:
                told(member.tag, member.name)
            except Exception as error:
                self._emit(
                    ListenerFailed(
                        heard="session.lost",
                        listener=getattr(told, "__qualname__", repr(told)),
                        error=words_of(error),
                    )
                )

    async def end(self) -> None:
        """Give the session up everywhere; its claims are free at once.

        What cannot be reached ends by itself within the ttl. Twice is harmless.
        """
        if self._over:
            return
        self._over = True
        with self._lock:
            members = tuple(self._members.values())
            self._members.clear()
        await asyncio.gather(*(self._leave(each.tag, each.name) for each in members))
        self._emit(SessionEnded(session=self.id))

    async def _enter(self, tag: str) -> str:
        if self._over:
            raise self._closed()
        left_behind = self._members.get(tag)
        if left_behind is not None:
            self.lost(left_behind, "not renewed in time")
        self._turn += 1
        name = f"{self.id}.{self._turn}"
        lease = Lease(self.clock.monotonic(), self.terms.ttl_s)
        alive = await self._store.join(tag, name, self.ttl_ms)
        if self._over:
            await self._leave(tag, name)
            raise self._closed()
        if not alive or not lease.is_trusted(self.clock.monotonic()):
            raise StoreUnavailable(
                f"The session {name} could not be entered in time.",
                f"The answer took longer than the ttl of {self.terms.ttl_s:g} s.",
                "Try again; if this stays, the server is too slow for this ttl.",
            )
        with self._lock:
            self._members[tag] = Membership(tag, name, lease)
        self._emit(SessionJoined(session=name, tag=tag))
        return name

    async def _leave(self, tag: str, name: str) -> None:
        """End a name; if that cannot be said now, it ends by itself within the ttl."""
        try:
            await self._store.end(tag, name)
        except StoreError:
            return

    def _closed(self) -> SessionLostError:
        return SessionLostError(
            f"The session {self.id} is over.",
            "The node it belongs to is closed.",
            "Open a new node.",
        )
