"""The role that runs one check again and again, and keeps its verdict.

Never two looks at once: the rest begins when a look has ended. A result changes the
verdict by rise and fall; the absence of results makes it unknown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from quorate.core.clock import Chance, Clock
from quorate.verdict.machine import Verdict, age, first_verdict, judge
from quorate.verdict.model import HealthState, HealthStatus, Outcome

from .lag import LoopLag
from .look import look
from .model import CheckRecord, CheckResult, HealthChange, HealthCheckConfig
from .ports import ClosableChecker, HealthChecker
from .report import CheckReport


@dataclass(frozen=True, slots=True)
class Means:
    """What all probers of a monitor share."""

    clock: Clock
    chance: Chance
    lag: LoopLag
    slots: asyncio.Semaphore
    history: int
    changed: Callable[[HealthChange, CheckReport], None]


@dataclass(frozen=True, slots=True)
class CheckStats:
    """Counts of one check since it was registered."""

    looks: int
    by_outcome: dict[str, int]
    changes: int
    busy_s: float


class Prober:
    """Runs `checker` at the pace of `config`."""

    def __init__(
        self,
        check: str,
        checker: HealthChecker,
        config: HealthCheckConfig,
        means: Means,
    ) -> None:
        self.check = check
        self.name = f"prober {check}"
        self.config = config
        self._checker = checker
        self._means = means
        self._verdict = first_verdict(means.lag.observed(), config.thresholds)
        self._since = means.clock.now()
        self._has_rested = False
        self._last: CheckResult | None = None
        self._history: deque[CheckRecord] = deque(maxlen=means.history)
        self._by_outcome = dict.fromkeys((outcome.value for outcome in Outcome), 0)
        self._changes = 0
        self._busy_s = 0.0

    @property
    def verdict(self) -> Verdict:
        """The verdict as it is, without looking at how old it is."""
        return self._verdict

    async def tick(self) -> float:
        if not self._has_rested:
            self._has_rested = True
            return self.config.pace.first_delay_s(self._means.chance)
        async with self._means.slots:
            result = await look(
                self._checker,
                self.config.timeout,
                clock=self._means.clock,
                lag=self._means.lag,
            )
        self.take(result)
        return self.config.pace.next_delay_s(self._verdict, self._means.chance)

    def begin(self) -> None:
        """Start afresh: time in which nobody looked does not count."""
        self._has_rested = False
        self._verdict = first_verdict(
            self._means.lag.observed(), self.config.thresholds
        )
        self._since = self._means.clock.now()

    def take(self, result: CheckResult) -> None:
        """Count one result."""
        self._last = result
        self._by_outcome[result.outcome.value] += 1
        self._busy_s += result.duration_s
        now = self._means.lag.observed()
        self._become(judge(self._verdict, result.outcome, now, self.config.thresholds))
        self._history.append(CheckRecord(result, self._verdict.state))

    def grow_old(self) -> None:
        """Notice that there was no result for too long."""
        now = self._means.lag.observed()
        self._become(age(self._verdict, now, self.config.thresholds))

    def report(self) -> CheckReport:
        """How it stands now."""
        verdict, last = self._verdict, self._last
        message = last.message if last else verdict.reason
        if verdict.state is HealthState.UNKNOWN:
            message = verdict.reason
        status = HealthStatus(
            verdict.state,
            message,
            last.at if last else self._since,
            last.details if last else {},
        )
        return CheckReport(
            name=self.check,
            status=status,
            critical=self.config.critical,
            group=self.config.group,
            reason=verdict.reason,
            since=self._since,
            state_for_s=max(0.0, self._means.lag.observed() - verdict.since),
            flapping=verdict.flapping,
        )

    def history(self) -> tuple[CheckRecord, ...]:
        """The last results, the oldest first."""
        return tuple(self._history)

    def stats(self) -> CheckStats:
        """Looks and what they found."""
        return CheckStats(
            sum(self._by_outcome.values()),
            dict(self._by_outcome),
            self._changes,
            self._busy_s,
        )

    async def close(self) -> None:
        """Close what the checker keeps open."""
        if isinstance(self._checker, ClosableChecker):
            await self._checker.close()

    def _become(self, verdict: Verdict) -> None:
        before, self._verdict = self._verdict, verdict
        if verdict.state is before.state:
            return
        self._changes += 1
        now = self._means.clock.now()
        self._since = now
        change = HealthChange(
            check=self.check,
            old=before.state,
            new=verdict.state,
            reason=verdict.reason,
            lasted_s=verdict.since - before.since,
            at=now,
        )
        self._means.changed(change, self.report())
