"""Looks, asks the rules, and carries out what they say.

Every process that has health checks stands for the office; one holds it (by lock) and
writes. It looks on every event that matters and on its own beat, so nothing depends on
an event being heard. When it dies, the next one takes over and looks afresh.
"""

from __future__ import annotations

import contextlib

from quorate.core.clock import Clock
from quorate.core.errors import LockLostError
from quorate.core.events import Emit
from quorate.core.lifecycle import Duty, Tasks

from .actions import Action, SetDegraded, ShedLanes
from .events import (
    DegradedModeEntered,
    DegradedModeLeft,
    LanesShed,
    ReactorElected,
    RuleSuspended,
)
from .hands import Hands, Office
from .rules.degraded_mode import (
    AUTHOR,
    DegradedTerms,
    degrade_when_a_dependency_fails,
    is_left_to_application,
)
from .view import View

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
        self._seen: tuple[bool, str] | None = None
        self._changed_at = float("-inf")
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
        seen = (stored.value, stored.author)
        if seen != self._seen:
            first, self._seen = self._seen is None, seen
            if not first:
                self._changed_at = self._clock.monotonic()
        view = View(
            dependencies=self._hands.dependencies(),
            degraded=stored.value,
            set_by=stored.author,
            changed_at=self._changed_at,
            shed_level=await self._hands.shed_level(),
        )
        suspended = is_left_to_application(view)
        if suspended and not self.is_suspended:
            self._emit(RuleSuspended(rule="degraded_mode", set_by=view.set_by))
        self.is_suspended = suspended
        return view

    async def _do(self, action: Action) -> None:
        match action:
            case SetDegraded(on, level, cause):
                values: dict[str, object] = {
                    "service.degraded_mode": on,
                    "service.degraded_level": level.value,
                }
                revision = await self._hands.store(values, cause)
                self._seen = (on, AUTHOR)
                self._changed_at = self._clock.monotonic()
                kind = DegradedModeEntered if on else DegradedModeLeft
                self._emit(kind(cause=cause, revision=revision))
            case ShedLanes(lanes, cause):
                await self._hands.shed(lanes)
                self._emit(LanesShed(lanes=lanes, cause=cause))
