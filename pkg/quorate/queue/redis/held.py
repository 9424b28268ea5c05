"""Tasks that wait for services, on a Redis server. Satisfies `HeldTasks`.

They rest in `due` at a moment that is never reached, one for each service; the SET
`held` has the services.
"""

from __future__ import annotations

from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .keys import QueueKeys

_TAKE_UP = load("quorate.queue.redis", "take_up")


class RedisHeldTasks:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def services(self) -> tuple[str, ...]:
        """For which services tasks wait."""
        found = await self._calls.command("SMEMBERS", f"{self._keys.prefix}held")
        return tuple(sorted(name.decode() for name in found))

    async def take_up(self, service: str, most: int) -> int:
        """Put some of them into their lanes; how many."""
        args = (self._keys.queue, service, most)
        reply = await self._calls.call(_TAKE_UP, [self._keys.prefix], args)
        return int(reply)
