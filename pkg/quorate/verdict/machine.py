"""From results to a verdict: one blip changes nothing, a row of them does.

    starting   ── 1 answer ──▶ healthy         ── failure after the grace ──▶ unhealthy
    healthy    ── `fall` failures in a row ──▶ unhealthy
    healthy    ── `warn_after` warnings ──▶ degraded
    degraded   ── `rise` successes in a row ──▶ healthy     ── `fall` ──▶ unhealthy
    unhealthy  ── `rise` answers in a row ──▶ healthy or degraded
    any        ── no result for 3 intervals ──▶ unknown     ── down ──▶ unhealthy
    flapping   : what would be healthy is reported as degraded, and rising is harder

Sources: Envoy's health checking (first result, rise and fall), Consul (`warning`),
Nagios (flapping). Pure: a verdict is a value, time is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from quorate.core.errors import InvalidInput

from .flapping import is_flapping, remember
from .model import HealthState, Outcome

STALE_INTERVALS = 3.0
HARDEST_RISE = 8
PATIENT_AFTER = 10
LONGEST_REST = 4.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When results become a verdict. Times in seconds.

    `startup_grace_s` is how long failures after the start are forgiven.
    Raises `InvalidInput` for what makes no sense.
    """

    rise: int = 2
    fall: int = 3
    warn_after: int = 3
    interval_s: float = 30.0
    startup_grace_s: float = 0.0

    def __post_init__(self) -> None:
        if min(self.rise, self.fall, self.warn_after) < 1:
            raise InvalidInput(
                f"rise={self.rise}, fall={self.fall}, warn_after={self.warn_after} "
                "cannot be used.",
                "Each says how many results in a row decide, so it is at least 1.",
            )
        finite = self.interval_s < math.inf and self.startup_grace_s < math.inf
        if not (finite and self.interval_s > 0 and self.startup_grace_s >= 0):
            raise InvalidInput(
                f"An interval of {self.interval_s} s with a grace of "
                f"{self.startup_grace_s} s cannot be used.",
                "The interval must be above 0, the grace must not be negative.",
            )

    @property
    def stale_after_s(self) -> float:
        """How long a verdict holds without a result."""
        return STALE_INTERVALS * self.interval_s


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of something, and the evidence that led there.

    `settled` is decided by rise and fall alone; `state` is what to tell others. The
    times are monotonic seconds of whoever observes.
    """

    settled: HealthState
    started_at: float
    since: float
    heard_at: float
    reason: str = "no result yet"
    answers: tuple[bool, ...] = ()
    answered: int = 0
    succeeded: int = 0
    warned: int = 0
    failed: int = 0
    rise: int = 0
    flapping: bool = False
    stale: bool = False

    @property
    def state(self) -> HealthState:
        """What to tell others."""
        if self.stale:
            return HealthState.UNKNOWN
        if self.flapping and self.settled is HealthState.HEALTHY:
            return HealthState.DEGRADED
        return self.settled

    @property
    def is_decided(self) -> bool:
        """Whether no row of results against the verdict is under way."""
        if self.stale or self.settled is HealthState.STARTING:
            return False
        if self.settled is HealthState.UNHEALTHY:
            return self.answered == 0
        return self.failed == 0

    @property
    def rests(self) -> float:
        """How many intervals to rest: up to 4 at what has failed more than 10 times."""
        if self.settled is not HealthState.UNHEALTHY or self.failed <= PATIENT_AFTER:
            return 1.0
        return min(LONGEST_REST, 2.0 ** min(self.failed - PATIENT_AFTER, 8))


def first_verdict(now: float, thresholds: Thresholds) -> Verdict:
    """Starting: nothing is known yet."""
    return Verdict(HealthState.STARTING, now, now, now, rise=thresholds.rise)


def judge(
    before: Verdict, outcome: Outcome, now: float, thresholds: Thresholds
) -> Verdict:
    """The verdict after one more result. An inconclusive one changes nothing."""
    if outcome is Outcome.INCONCLUSIVE:
        return before
    counted = _count(before, outcome, now)
    settled, reason = _settle(counted, outcome, now, thresholds)
    after = replace(
        counted,
        settled=settled,
        flapping=is_flapping(counted.answers, before=before.flapping),
        stale=before.stale and not _is_confirmed(before, settled, outcome),
    )
    after = replace(after, rise=_rise_needed(before, after, thresholds))
    return _dated(before, after, reason, now)


def age(before: Verdict, now: float, thresholds: Thresholds) -> Verdict:
    """The verdict when time has passed without a result: unknown after 3 intervals.

    Where the rests are longer than the interval, so is this time.
    """
    stale_after_s = thresholds.stale_after_s * before.rests
    if before.stale or now - before.heard_at <= stale_after_s:
        return before
    after = replace(before, stale=True, answered=0, succeeded=0, warned=0, failed=0)
    reason = f"no result for more than {stale_after_s:g} s"
    return _dated(before, after, reason, now)


def _count(before: Verdict, outcome: Outcome, now: float) -> Verdict:
    answered = outcome.answered
    success = outcome is Outcome.SUCCESS
    return replace(
        before,
        heard_at=now,
        answers=remember(before.answers, answered),
        answered=before.answered + 1 if answered else 0,
        succeeded=before.succeeded + 1 if success else 0,
        warned=0 if success else before.warned + (outcome is Outcome.WARNING),
        failed=0 if answered else before.failed + 1,
    )


def _settle(
    v: Verdict, outcome: Outcome, now: float, thresholds: Thresholds
) -> tuple[HealthState, str]:
    """The state that rise and fall decide, and the reason if it is another one."""
    if outcome is Outcome.DOWN:
        return HealthState.UNHEALTHY, "it is down for certain"
    if v.settled is HealthState.STARTING:
        return _settle_start(v, outcome, now, thresholds)
    if v.settled is HealthState.UNHEALTHY:
        if v.answered < v.rise:
            return v.settled, ""
        if v.succeeded >= v.rise:
            return HealthState.HEALTHY, f"{v.rise} successes in a row"
        return (
            HealthState.DEGRADED,
            f"{v.rise} answers in a row, not all without warning",
        )
    if v.failed >= thresholds.fall:
        return HealthState.UNHEALTHY, f"{v.failed} failures in a row"
    if v.settled is HealthState.DEGRADED and v.succeeded >= v.rise:
        return HealthState.HEALTHY, f"{v.succeeded} successes in a row"
    if v.settled is HealthState.HEALTHY and v.warned >= thresholds.warn_after:
        return HealthState.DEGRADED, f"{v.warned} warnings"
    return v.settled, ""


def _settle_start(
    v: Verdict, outcome: Outcome, now: float, thresholds: Thresholds
) -> tuple[HealthState, str]:
    if outcome is Outcome.SUCCESS:
        return HealthState.HEALTHY, "the first success"
    if outcome is Outcome.WARNING:
        return HealthState.DEGRADED, "the first answer had a warning"
    if now - v.started_at >= thresholds.startup_grace_s:
        return HealthState.UNHEALTHY, "no answer since the start"
    return v.settled, ""


def _rise_needed(before: Verdict, after: Verdict, thresholds: Thresholds) -> int:
    """Each fall while flapping doubles what it takes to rise, up to 8."""
    if not after.flapping:
        return thresholds.rise
    if after.settled is before.settled or after.settled is not HealthState.UNHEALTHY:
        return before.rise
    return max(before.rise, min(HARDEST_RISE, before.rise * 2))


def _is_confirmed(before: Verdict, settled: HealthState, outcome: Outcome) -> bool:
    """Whether a result ends not knowing: it decides anew, or agrees with before."""
    if settled is not before.settled:
        return True
    if settled is HealthState.STARTING:
        return False
    return outcome.answered == (settled is not HealthState.UNHEALTHY)


def _dated(before: Verdict, after: Verdict, reason: str, now: float) -> Verdict:
    """`after` with the time of the change and a reason, if others see a change."""
    if after.state is before.state:
        return after
    if after.flapping and after.settled is HealthState.HEALTHY and not after.stale:
        reason = "it keeps changing between success and failure"
    elif before.flapping and not after.flapping and not reason:
        reason = "it is steady again"
    return replace(after, since=now, reason=reason or "there are results again")
