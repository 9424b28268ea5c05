"""Looks, asks the rules, and carries out what they say.

Every process that has health checks stands for the office; one holds it (by lock) and
writes. It looks on every event that matters and on its own beat, so nothing depends on
an event being heard. When it dies, the next one takes over and looks afresh.
"""

from __future__ import annotations

import contextlib

from quorate.core.clock import Clock
from quorate.core.errors import LockLostError
from quorate.core.events import Emit, Event
from quorate.core.lifecycle import Duty, Tasks

from .actions import Action, SetDegraded, ShedLanes
from .events import (
    DegradedLevelChanged,
    DegradedModeEntered,
    DegradedModeLeft,
    LanesShed,
    ReactorElected,
    RuleSuspended,
)
from .hands import Hands, Office, Stored
from .rules.degraded_mode import (
    AUTHOR,
    DegradedTerms,
    degrade_when_a_dependency_fails,
    is_left_to_application,
)
from .view import DegradedLevel, View

OURS = ("", AUTHOR)
BEAT_S = 1.0
IDLE_S = 0.5


class ReactionEngine:
    """The role that reacts. `start()` employs it; `stop()` gives the office up."""

    name = "reactor"

    def __init__(
        self, hands: Hands, terms: DegradedTerms, *, emit: Emit, clock: Clock
    ) -> None:
        self._hands = hands
        self._terms = terms
        self._emit = emit
        self._clock = clock
        self._tasks = Tasks(emit, clock)
        self._duty: Duty | None = None
        self._exit = contextlib.AsyncExitStack()
        self._office: Office | None = None
        self._seen: Stored | None = None
        self._changed_at = float("-inf")
        self._lasts_since = float("-inf")
        self._level = DegradedLevel.NORMAL
        self.is_suspended = False

    @property
    def is_in_office(self) -> bool:
        """Is this process the one that carries the reactions out?"""
        return self._office is not None

    async def start(self) -> None:
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        """Give up the office, so that another takes over at once."""
        await self._tasks.close()
        self._office = None
        await self._exit.aclose()

    def wake(self) -> None:
        """Something has changed: look now instead of on the next beat."""
        if self._duty is not None:
            self._duty.wake()

    async def tick(self) -> float:
        """One look. Waits for the office first, if this process may hold it."""
        if not self._hands.dependencies():
            return IDLE_S
        office = await self._take_office()
        view = await self._look()
        for action in degrade_when_a_dependency_fails(
            view, self._clock.monotonic(), self._terms
        ):
            try:
                office.check()
            except LockLostError:
                await self._leave_office()
                raise
            await self._do(action)
        return BEAT_S

    async def _take_office(self) -> Office:
        if self._office is not None:
            try:
                self._office.check()
            except LockLostError:
                await self._leave_office()
            else:
                return self._office
        self._office = await self._exit.enter_async_context(self._hands.office())
        self._seen = None
        self._emit(ReactorElected(token=self._office.token))
        return self._office

    async def _leave_office(self) -> None:
        self._office = None
        stack, self._exit = self._exit, contextlib.AsyncExitStack()
        with contextlib.suppress(LockLostError):
            await stack.aclose()

    async def _look(self) -> View:
        stored = await self._hands.stored()
        if stored != self._seen:
            first, self._seen = self._seen is None, stored
            self._lasts_since = self._clock.monotonic()
            if not first:
                self._changed_at = self._lasts_since
        view = View(
            dependencies=self._hands.dependencies(),
            degraded=stored.value,
            set_by=stored.author,
            changed_at=self._changed_at,
            shed_level=await self._hands.shed_level(),
            level=level_of(stored.level) or DegradedLevel.NORMAL,
            told=None if stored.level_author in OURS else level_of(stored.level),
            lasts_since=self._lasts_since,
        )
        self._level = view.stands
        suspended = is_left_to_application(view)
        if suspended and not self.is_suspended:
            by = stored.author if stored.author not in OURS else stored.level_author
            self._emit(RuleSuspended(rule="degraded_mode", set_by=by))
        self.is_suspended = suspended
        return view

    async def _do(self, action: Action) -> None:
        match action:
            case SetDegraded(on, level, cause):
                before = self._level
                values: dict[str, object] = {
                    "service.degraded_mode": on,
                    "service.degraded_level": level.value,
                }
                revision = await self._hands.store(values, cause)
                self._seen = Stored(on, AUTHOR, level.value, AUTHOR)
                self._changed_at = self._lasts_since = self._clock.monotonic()
                self._emit(told_of(before, level, cause, revision))
            case ShedLanes(lanes, cause):
                await self._hands.shed(lanes)
                self._emit(LanesShed(lanes=lanes, cause=cause))


def level_of(stored: str) -> DegradedLevel | None:
    """The level that is stored; None if it says nothing that is known."""
    try:
        return DegradedLevel(stored)
    except ValueError:
        return None


def told_of(
    before: DegradedLevel, level: DegradedLevel, cause: str, revision: int
) -> Event:
    """The event for a change of the level."""
    if level is DegradedLevel.NORMAL:
        return DegradedModeLeft(cause=cause, revision=revision)
    if before is DegradedLevel.NORMAL:
        return DegradedModeEntered(cause=cause, revision=revision)
    return DegradedLevelChanged(
        level_was=before.value, level_is=level.value, cause=cause, revision=revision
    )
