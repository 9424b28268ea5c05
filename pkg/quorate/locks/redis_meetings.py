"""What elections, latches and barriers need of a Redis server besides its locks.

Satisfies `locks.store.MeetingStore`. A message on the channel of a name says only that
something has changed; who hears it looks.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import SessionLostError, StoreUnavailable
from quorate.lease.session import Session
from quorate.wire.keys import sessions_key
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from .redis_replies import key_name

_PREFER = load("quorate.locks", "prefer")
_LATCH = load("quorate.locks", "latch")
_BARRIER = load("quorate.locks", "barrier")

REJOINS = 3
KEPT_MS = 86_400_000


class RedisMeetings:
    """Where processes meet, on one server over the process's wire."""

    def __init__(self, wire: Wire, session: Session) -> None:
        self._wire = wire
        self._session = session

    async def watch(self, name: str, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` when something has changed under `name`. Returns its undoing."""
        tag = self._wire.keys.lock_tag(name)
        channel = f"{tag}:l:on:{key_name(name)}"

        def heard(_: bytes) -> None:
            ring()

        forget = self._wire.inbox.on_resync(ring)

        def leave() -> None:
            forget()
            self._wire.inbox.unsubscribe(channel, heard)

        try:
            await self._wire.inbox.subscribe(channel, heard)
        except StoreUnavailable:
            # It is subscribed as soon as the connection is back, and rings then.
            return leave
        except BaseException:
            leave()
            raise
        return leave

    async def prefer(self, name: str, candidate: str) -> bool:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        args = (key_name(name), candidate)
        return bool(await self._wire.calls.call(_PREFER, [sessions_key(tag)], args))

    async def count(self, name: str, participant: str) -> int:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        args = (key_name(name), participant, KEPT_MS)
        counted: int = await self._wire.calls.call(_LATCH, [sessions_key(tag)], args)
        return counted

    async def arrive(
        self, name: str, participant: str, attempt: str, parties: int
    ) -> int | None:
        """One request, inside the session."""
        tag = self._wire.keys.lock_tag(name)
        for _ in range(REJOINS):
            me = await self._session.join(tag)
            word, number = await self._barrier(name, participant, attempt, me, parties)
            if word != b"dead":
                return number if word == b"passed" else None
            for member in self._session.memberships():
                if member.tag == tag and member.name == me:
                    self._session.lost(member, "the server had ended it")
        raise SessionLostError(
            f"Nobody can wait at {name!r}: the session ends as soon as it begins.",
            "The server has refused it several times in a row.",
            "Is its clock right, and is its data not being flushed?",
        )

    async def depart(self, name: str, participant: str, attempt: str) -> int | None:
        """One request."""
        word, number = await self._barrier(name, participant, attempt, "", 0)
        return number if word == b"passed" else None

    async def _barrier(
        self, name: str, participant: str, attempt: str, session: str, parties: int
    ) -> tuple[bytes, int]:
        tag = self._wire.keys.lock_tag(name)
        args = (key_name(name), participant, attempt, session, parties, KEPT_MS)
        word, number = await self._wire.calls.call(_BARRIER, [sessions_key(tag)], args)
        return word, number
