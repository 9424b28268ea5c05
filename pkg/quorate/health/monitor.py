"""Runs all checks of a process, each at its own pace.

Every check is a role of its own, so a slow one delays no other; the first looks are
spread over their intervals, and only so many run at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from quorate.core.clock import Chance, Clock, SystemClock, fresh_chance
from quorate.core.errors import InvalidInput
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Duty, Tasks

from .events import HealthChanged
from .lag import LoopLag
from .model import HealthChange, HealthCheckConfig, HealthTerms
from .ports import HealthChecker
from .prober import Means, Prober
from .report import CheckReport

LONGEST_LOOK_S = 1.0
SHORTEST_LOOK_S = 0.02

Changed = Callable[[HealthChange], None]


@dataclass(slots=True, eq=False)
class _Watched:
    prober: Prober
    tasks: Tasks | None = None
    duty: Duty | None = None


class HealthMonitor:
    """Runs checks between `start` and `stop`; `changed` hears of every change."""

    name = "health auditor"

    def __init__(
        self,
        terms: HealthTerms | None = None,
        *,
        changed: Changed | None = None,
        emit: Emit = silent,
        clock: Clock | None = None,
        chance: Chance | None = None,
    ) -> None:
        terms = terms or HealthTerms()
        self._emit = emit
        self._clock = clock or SystemClock()
        self._changed = changed
        self._lag = LoopLag(self._clock, emit)
        self._means = Means(
            clock=self._clock,
            chance=chance or fresh_chance(),
            lag=self._lag,
            slots=asyncio.Semaphore(terms.at_once),
            history=terms.history,
            changed=self._tell,
        )
        self._watched: dict[str, _Watched] = {}
        self._tasks: Tasks | None = None

    @property
    def is_running(self) -> bool:
        return self._tasks is not None

    @property
    def probers(self) -> tuple[Prober, ...]:
        """All checks, in the order in which they were added."""
        return tuple(watched.prober for watched in self._watched.values())

    def prober(self, check: str) -> Prober:
        """The prober of one check. Raises `InvalidInput` if there is none."""
        watched = self._watched.get(check)
        if watched is None:
            raise InvalidInput(
                f"There is no check {check!r}.",
                f"There are: {', '.join(self._watched) or 'none'}.",
            )
        return watched.prober

    def add(
        self, check: str, checker: HealthChecker, config: HealthCheckConfig
    ) -> None:
        """Run one more check. Raises `InvalidInput` for a name that is taken."""
        if check in self._watched:
            raise InvalidInput(
                f"There is a check {check!r} already.",
                fix="Unregister it first, or give this one another name.",
            )
        watched = _Watched(Prober(check, checker, config, self._means))
        self._watched[check] = watched
        if self.is_running:
            self._employ(watched)

    async def remove(self, check: str) -> None:
        """Stop and forget one check. Raises `InvalidInput` if there is none."""
        self.prober(check)
        await self._dismiss(self._watched.pop(check))

    def check_soon(self, check: str) -> None:
        """Let the next look at `check` begin now instead of when it is due."""
        self.prober(check)
        duty = self._watched[check].duty
        if duty is not None:
            duty.wake()

    async def start(self) -> None:
        """Begin to look. Verdicts start afresh. Twice is harmless."""
        if self.is_running:
            return
        self._tasks = Tasks(self._emit, self._clock)
        self._tasks.employ(self._lag)
        self._tasks.employ(self)
        for watched in self._watched.values():
            watched.prober.begin()
            self._employ(watched)

    async def stop(self) -> None:
        """Stop to look, and close the checkers. Twice is harmless."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            await tasks.close()
            self._lag.rest()
            for watched in tuple(self._watched.values()):
                await self._dismiss(watched)

    async def tick(self) -> float:
        self.grow_old()
        shortest_s = min(
            (prober.config.interval for prober in self.probers), default=LONGEST_LOOK_S
        )
        return min(LONGEST_LOOK_S, max(SHORTEST_LOOK_S, shortest_s / 4))

    def grow_old(self) -> None:
        """Notice which checks have had no result for too long."""
        for prober in self.probers:
            prober.grow_old()

    def reports(self) -> tuple[CheckReport, ...]:
        """How every check stands."""
        return tuple(prober.report() for prober in self.probers)

    def _employ(self, watched: _Watched) -> None:
        watched.tasks = Tasks(self._emit, self._clock)
        watched.duty = watched.tasks.employ(watched.prober)

    async def _dismiss(self, watched: _Watched) -> None:
        if watched.tasks is not None:
            await watched.tasks.close()
            watched.tasks = watched.duty = None
        await watched.prober.close()

    def _tell(self, change: HealthChange, report: CheckReport) -> None:
        self._emit(
            HealthChanged(
                check=change.check,
                old=change.old.value,
                new=change.new.value,
                reason=change.reason,
                message=report.status.message,
            )
        )
        if self._changed is not None:
            self._changed(change)
