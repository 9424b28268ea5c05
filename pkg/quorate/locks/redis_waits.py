"""Who waits for whom, on a Redis server: one request to say it and to read it all.

Satisfies `locks.store.WaitStore`. Notes lie where the awaited lock lies and end with
their session; the locks themselves are read in the same script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from quorate.lease.session import Session
from quorate.wire.keys import sessions_key
from quorate.wire.link import Reply
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from . import notes as texts
from .deadlock import Line, Note, Picture
from .redis_replies import key_name, shown_name
from .store import Doubted

_WAITS = load("quorate.locks", "waits")
_GIVE_WAY = load("quorate.locks", "give_way")
_END_HOLD = load("quorate.locks", "end_hold")
_DOUBT = load("quorate.locks", "doubt")

CLAIMS_READ = 1000


class RedisWaits:
    """The waits of one namespace, as far as their owners hold something."""

    def __init__(self, wire: Wire, session: Session) -> None:
        self._wire = wire
        self._session = session

    async def listen(self, doubted: Doubted) -> Callable[[], None]:
        """Hear of doubts. Returns its undoing."""
        channel = self._channel(self._session.id)

        def hear(body: bytes) -> None:
            who, _, number = body.decode().rpartition(" ")
            if who and number.isdigit():
                doubted(who, int(number))

        await self._wire.inbox.subscribe(channel, hear)
        return lambda: self._wire.inbox.unsubscribe(channel, hear)

    async def compare(self, mine: Sequence[Note], heard: Mapping[str, int]) -> Picture:
        """One request a tag."""
        parts = await asyncio.gather(
            *(self._compare_in(tag, mine, heard) for tag in self._tags())
        )
        return Picture(
            notes=tuple(note for part in parts for note in part.notes),
            lines=tuple(line for part in parts for line in part.lines),
            heard=texts.heard_in_all(part.heard for part in parts),
        )

    async def doubt(self, sessions: Iterable[str], number: int) -> None:
        """One request a session."""
        keys, body = [sessions_key(self._tags()[0])], f"{self._session.id} {number}"
        await asyncio.gather(
            *(
                self._wire.calls.call(_DOUBT, keys, [ident, body])
                for ident in {_ident(session) for session in sessions}
            )
        )

    async def give_way(self, name: str, ident: str) -> bool:
        """One request."""
        keys = [sessions_key(self._wire.keys.lock_tag(name))]
        return bool(
            await self._wire.calls.call(_GIVE_WAY, keys, [key_name(name), ident])
        )

    async def end_hold(self, name: str, token: int) -> int:
        """One request."""
        keys = [sessions_key(self._wire.keys.lock_tag(name))]
        args: tuple[str, int] = (key_name(name), token)
        ended, _ = await self._wire.calls.call(_END_HOLD, keys, args)
        return int(ended)

    async def _compare_in(
        self, tag: str, mine: Sequence[Note], heard: Mapping[str, int]
    ) -> Picture:
        here = [note for note in mine if self._wire.keys.lock_tag(note.name) == tag]
        me = self._session.name_in(tag) or ""
        args = (me, texts.written(here, heard, key_name), CLAIMS_READ)
        said, lines = await self._wire.calls.call(_WAITS, [sessions_key(tag)], args)
        notes: list[Note] = []
        answered: dict[str, Mapping[str, int]] = {}
        for at in range(0, len(said), 2):
            session = said[at].decode()
            found, answers = texts.read(session, said[at + 1].decode(), shown_name)
            notes += found
            answered[session] = answers
        return Picture(tuple(notes), tuple(_lines(lines)), answered)

    def _tags(self) -> Sequence[str]:
        """Everywhere that a lock may lie."""
        return self._wire.keys.lock_tags

    def _channel(self, ident: str) -> str:
        return f"{self._tags()[0]}:l:doubt:{ident}"


def _lines(rows: list[Reply]) -> Iterable[Line]:
    for at in range(0, len(rows), 6):
        name, mode, upgrading = (each.decode() for each in rows[at : at + 3])
        ids = rows[at + 3 : at + 6]
        holders, writers, readers = (tuple(i.decode() for i in each) for each in ids)
        yield Line(shown_name(name), mode, holders, writers, readers, upgrading)


def _ident(session: str) -> str:
    """The process behind the name of a session in some tag."""
    return session.rpartition(".")[0]
