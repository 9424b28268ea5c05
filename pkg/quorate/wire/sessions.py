"""Sessions on a Redis server: who is alive, judged by the server's clock.

`T:S` is a ZSET session → end. A session is dead when its row is missing or its end has
passed, and a dead session is never revived. Satisfies `lease.session.SessionStore`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .keys import sessions_key
from .ports import Caller
from .scripts import load

_JOIN = load("quorate.wire", "join")
_RENEW = load("quorate.wire", "renew")
_END = load("quorate.wire", "end")
_DEAD = load("quorate.wire", "dead")
_BURY = load("quorate.wire", "bury")

MOST_DEAD = 100


class RedisSessions:
    """The session rows of one server, over one `Caller`."""

    def __init__(self, calls: Caller) -> None:
        self._calls = calls

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        """Enter; False when this name is dead already and must not be used again."""
        reply = await self._calls.call(_JOIN, [sessions_key(tag)], [session, ttl_ms])
        return bool(reply[0])

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        """(renewed, server time in s, s until the first end of all, how many dead)."""
        reply = await self._calls.call(_RENEW, [sessions_key(tag)], [session, ttl_ms])
        alive, now_ms, left_ms, dead = reply
        left_s = None if left_ms < 0 else left_ms / 1000
        return bool(alive), now_ms / 1000, left_s, int(dead)

    async def end(self, tag: str, session: str) -> bool:
        """The session is over now. False if it was over already."""
        return bool(await self._calls.call(_END, [sessions_key(tag)], [session]))

    async def dead(self, tag: str) -> list[str]:
        """Sessions that have ended and whose claims may still have to be cleaned."""
        reply = await self._calls.call(_DEAD, [sessions_key(tag)], [MOST_DEAD])
        return [name.decode() for name in reply]

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool:
        """Remove the tombstone, unless one of `indexes` still names the session."""
        keys = [sessions_key(tag), *indexes]
        return bool(await self._calls.call(_BURY, keys, [session]))

    async def close(self) -> None:
        await self._calls.close()
