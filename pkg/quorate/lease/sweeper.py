"""Cleans up after sessions that have died.

Renewing tells for free when somebody else has missed a renewal. The sweeper looks again
when that session may have ended, lets every room clean its claims, and buries it. Any
number of processes may sweep at once: each step is idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quorate.core.clock import Chance, Clock
from quorate.core.events import Emit

from .events import SessionSwept
from .session import SessionStore

Clean = Callable[[str, str], Awaitable[None]]
"""Free what the dead session (second) claims in this tag (first). May be repeated."""

AFTER_THE_END_S = 0.05
SPREAD_S = 0.3
IDLE_S = 3600.0
AGAIN_S = 0.5
ALERT_S = 6.0
"""Who dies seldom dies alone, but a renewal tells only of the first end to come: after
a death the sweeper looks again so often for so long, which is past the next renewal."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a room hands to the sweeper: how to clean, and its index of sessions."""

    clean: Clean
    index_key: Callable[[str], str]


class Sweeper:
    """A role: looks when a session may have died, and otherwise sleeps."""

    name = "sweeper"

    def __init__(
        self,
        store: SessionStore,
        *,
        emit: Emit,
        clock: Clock,
        chance: Chance,
        alert_s: float = ALERT_S,
    ) -> None:
        self._store = store
        self._alert_s = alert_s
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._rooms: list[Room] = []
        self._due: dict[str, float] = {}
        self._found: dict[str, set[str]] = {}
        self._alert_until: dict[str, float] = {}
        self.wake: Callable[[], None] = lambda: None

    def add(self, room: Room) -> None:
        """Let `room` clean up after every dead session from now on."""
        self._rooms.append(room)

    def look_in(self, tag: str, in_s: float) -> None:
        """Somebody in `tag` may be dead in `in_s` seconds. Hear it from the keeper."""
        spread_s = SPREAD_S * self._chance.random()
        due = self._clock.monotonic() + in_s + AFTER_THE_END_S + spread_s
        if due < self._due.get(tag, float("inf")):
            self._due[tag] = due
            self.wake()

    async def tick(self) -> float:
        now = self._clock.monotonic()
        for tag in [tag for tag, due in self._due.items() if due <= now]:
            # Taken out first: what is heard during the sweep asks for another one.
            del self._due[tag]
            try:
                await self.sweep(tag)
            except BaseException:
                self._due.setdefault(tag, now)
                raise
        now = self._clock.monotonic()
        first_s = min((due - now for due in self._due.values()), default=IDLE_S)
        return max(0.0, first_s)

    async def sweep(self, tag: str) -> int:
        """Clean up after every dead session of `tag` now. Returns how many are buried.

        One session or room that fails does not keep the others from being cleaned; its
        error is raised at the end.
        """
        buried = 0
        errors: list[Exception] = []
        dead = await self._store.dead(tag)
        self._stay_alert(tag, dead)
        while dead:
            newly = [name for name in dead if await self._clean(tag, name, errors)]
            buried += len(newly)
            # The store tells of so many at once; more only if some have gone.
            dead = await self._store.dead(tag) if newly and not errors else []
        if errors:
            raise errors[0]
        return buried

    def _stay_alert(self, tag: str, dead: list[str]) -> None:
        """Look again soon if somebody has died who was not dead the last time."""
        now, before = self._clock.monotonic(), self._found.get(tag, set())
        self._found[tag] = set(dead)
        if self._found[tag] - before:
            self._alert_until[tag] = now + self._alert_s
        if now < self._alert_until.get(tag, 0.0):
            self.look_in(tag, AGAIN_S)

    async def _clean(self, tag: str, session: str, errors: list[Exception]) -> bool:
        try:
            for room in self._rooms:
                await room.clean(tag, session)
            indexes = [room.index_key(tag) for room in self._rooms]
            buried = await self._store.bury(tag, session, indexes)
        except Exception as error:
            errors.append(error)
            return False
        if buried:
            self._emit(SessionSwept(session=session, tag=tag))
        return buried
