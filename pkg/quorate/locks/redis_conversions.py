"""Holds on a Redis server that change their kind, and the limit of a semaphore.

The part of `locks.redis` that satisfies `LockConversions` and `PermitStore`.
"""

from __future__ import annotations

from quorate.core.clock import Clock
from quorate.lease.session import Session
from quorate.wire.keys import sessions_key
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from .answers import Confirm, Granted, Queued
from .confirming import call_confirmed
from .faults import lost_error, upgrade_conflict
from .redis_replies import key_name, read_holder, read_queued

_SET_PERMITS = load("quorate.locks", "set_permits")
_UPGRADE = load("quorate.locks", "upgrade")
_DOWNGRADE = load("quorate.locks", "downgrade")


class RedisConversions:
    """What a store may offer besides; see `locks.store`."""

    _wire: Wire
    _session: Session
    _clock: Clock

    async def set_permits(self, name: str, permits: int) -> int:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        args = (key_name(name), permits)
        in_use: int = await self._wire.calls.call(
            _SET_PERMITS, [sessions_key(tag)], args
        )
        return in_use

    async def upgrade(
        self, name: str, ident: str, confirm: Confirm | None = None
    ) -> Granted | Queued:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        me = self._session.name_in(tag) or ""
        asked_at = self._clock.monotonic()
        keys, args = [sessions_key(tag)], (key_name(name), ident)
        if confirm:
            reply = await call_confirmed(self._wire, _UPGRADE, keys, args, confirm)
        else:
            reply = await self._wire.calls.call(_UPGRADE, keys, args)
        if reply[0] == b"deadlock":
            other = read_holder(name, reply[3], reply[1], None, b"s")
            raise upgrade_conflict(name, other)
        if reply[0] == b"unknown":
            raise lost_error(name, "the server had ended it")
        if reply[0] == b"granted":
            return Granted(reply[2], reply[3], tag, me, asked_at)
        return read_queued(reply, name, (tag, me), asked_at, echo=False)

    async def downgrade(self, name: str, ident: str) -> int:
        """One request."""
        tag = self._wire.keys.lock_tag(name)
        token: int = await self._wire.calls.call(
            _DOWNGRADE, [sessions_key(tag)], (key_name(name), ident)
        )
        if not token:
            raise lost_error(name, "the server had ended it")
        return token
