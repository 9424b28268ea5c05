"""Claims that a Redis server may have lost: asking for them, and telling of them.

A replica that takes over, or a server that was started again, may not know the last
claims. It has another run id, which its scripts can read; a process that finds one asks
what is known of it and tells what is missing. The part of `locks.redis` that satisfies
`RollStore`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate.core.errors import MissingCapability
from quorate.wire.keys import sessions_key
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from .answers import Held, Roll
from .redis_replies import key_name, shown_name

_ROLL = load("quorate.locks", "roll")
_REASSERT = load("quorate.locks", "reassert")
_BE_STRICT = load("quorate.locks", "be_strict")


class RedisRoll:
    """What a store may offer besides; see `locks.store`."""

    _wire: Wire
    _strict_ms = 0

    async def roll(self, tag: str, session: str, known: str) -> Roll:
        """One request."""
        if self._wire.scheme == "memory":  # It cannot be replaced, nor come back.
            return Roll("memory", is_as_known=True, is_alive=True, claims={})
        run, *rest = await self._wire.calls.call(
            _ROLL, [sessions_key(tag)], [session, known]
        )
        if not rest:
            return Roll(run.decode(), is_as_known=True, is_alive=True, claims={})
        alive, *members = rest
        claims = (member.decode().split("\n", 1) for member in members)
        return Roll(
            run.decode(),
            is_as_known=False,
            is_alive=bool(alive),
            claims={ident: shown_name(name) for ident, name in claims},
        )

    async def reassert(
        self, tag: str, session: str, held: Sequence[Held]
    ) -> list[bool]:
        """One request."""
        args: list[str | int] = [session]
        for hold in held:
            mode = "p" if hold.weight else "s" if hold.shared else "x"
            args += (key_name(hold.name), hold.id, mode, hold.token, hold.last_token)
            args += (round(hold.hard_s * 1000), round(hold.held_s * 1000))
            args += (hold.owner, hold.label, hold.weight)
        said = await self._wire.calls.call(_REASSERT, [sessions_key(tag)], args)
        return [bool(is_held) for is_held in said] or [False] * len(held)

    async def be_strict(self, ttl_s: float) -> None:
        """One request a tag now, and one whenever a session begins."""
        if self._wire.scheme == "memory":
            raise MissingCapability(
                "memory:// cannot be strict.",
                "It has no run id that tells one start from the next.",
                "Use embedded:// or a server.",
            )
        self._strict_ms = round(ttl_s * 1000)
        await asyncio.gather(*map(self._keep_strict, self._wire.keys.lock_tags))

    async def _keep_strict(self, tag: str) -> None:
        await self._wire.calls.call(_BE_STRICT, [sessions_key(tag)], [self._strict_ms])
