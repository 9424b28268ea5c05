"""Sessions on RabbitMQ: a connection is alive, or it is not.

The broker keeps no list of who is there, and needs none: what a broken connection had
not acknowledged goes to others by itself. Satisfies `lease.session.SessionStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate.core.clock import Clock
from quorate.core.errors import StoreUnavailable


class Roll:
    """The names that live on the connection that is open now. Read from any thread."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        self._names |= {name}

    def remove(self, name: str) -> bool:
        """False if it was not there."""
        was_there = name in self._names
        self._names -= {name}
        return was_there

    def clear(self) -> frozenset[str]:
        """The connection broke: nobody is left. Returns who was there."""
        names, self._names = self._names, frozenset()
        return names


class RabbitSessions:
    """The session of this process, as far as its connection tells."""

    def __init__(self, roll: Roll, clock: Clock, is_open: Callable[[], bool]) -> None:
        self._roll = roll
        self._clock = clock
        self._is_open = is_open

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        """Enter. Raises `StoreUnavailable` while there is no connection."""
        if not self._is_open():
            raise StoreUnavailable(
                "RabbitMQ cannot be reached.",
                "The connection is lost; another is made as soon as that works.",
            )
        self._roll.add(session)
        return True

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        """(is it alive, now, nothing is known of others' ends, nobody is dead)."""
        return session in self._roll, self._clock.now(), None, 0

    async def end(self, tag: str, session: str) -> bool:
        """Only its own process can end it; others see that the broker does."""
        return self._roll.remove(session)

    async def dead(self, tag: str) -> list[str]:
        return []

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool:
        return True

    async def close(self) -> None:
        return None
