"""The words of health checks: what a check found, and how it is to be run. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from quorate.core.errors import InvalidInput
from quorate.verdict.machine import Thresholds
from quorate.verdict.model import Details, HealthState, Outcome
from quorate.verdict.pace import Pace

RETRY_SHARE = 0.25


class CheckGroup(Enum):
    """What a check is asked for.

    `LIVENESS`: should this process be restarted? It must not depend on anything else.
    `READINESS`: should it get work?
    """

    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. `duration_s` and `at` are filled in by whoever runs it.

    Keep `message` free of numbers that change all the time: it is shown, compared and
    sent to others.
    """

    outcome: Outcome
    message: str = ""
    details: Details = field(default_factory=dict, hash=False)
    duration_s: float = 0.0
    at: float = 0.0


def passed(message: str = "ok", **details: str) -> CheckResult:
    """It works."""
    return CheckResult(Outcome.SUCCESS, message, details)


def warned(message: str, **details: str) -> CheckResult:
    """It works, but something is not as it should be."""
    return CheckResult(Outcome.WARNING, message, details)


def failed(message: str, **details: str) -> CheckResult:
    """It does not work."""
    return CheckResult(Outcome.FAILURE, message, details)


def down(message: str, **details: str) -> CheckResult:
    """It does not work, and no further check is needed to be sure."""
    return CheckResult(Outcome.DOWN, message, details)


def inconclusive(message: str, **details: str) -> CheckResult:
    """The look itself went wrong; it says nothing about the target."""
    return CheckResult(Outcome.INCONCLUSIVE, message, details)


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """How one check is run and judged. All times in seconds.

    It runs every `interval`, and every `retry_interval` (a quarter of it) while results
    contradict the verdict; each run has `timeout` for everything. `fall` failures in a
    row make it unhealthy, `rise` answers healthy again, `warn_after` warnings degraded.
    Failures in the first `startup_grace` are forgiven. A check that is not `critical`
    can only degrade the whole. Raises `InvalidInput` for what makes no sense.
    """

    interval: float = 30.0
    timeout: float = 10.0
    rise: int = 2
    fall: int = 3
    warn_after: int = 3
    critical: bool = True
    group: CheckGroup = CheckGroup.READINESS
    startup_grace: float = 0.0
    retry_interval: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise InvalidInput(
                f"A check cannot have a timeout of {self.timeout} s.",
                "It must be above 0 and finite: every check ends.",
            )
        _ = self.thresholds, self.pace

    @property
    def thresholds(self) -> Thresholds:
        """When results become a verdict.

        A check that may take longer than its interval is not stale for that.
        """
        longest_s = max(self.interval, self.timeout)
        return Thresholds(
            self.rise, self.fall, self.warn_after, longest_s, self.startup_grace
        )

    @property
    def pace(self) -> Pace:
        """When to look again."""
        retry_s = self.retry_interval
        if retry_s is None:
            retry_s = self.interval * RETRY_SHARE
        return Pace(self.interval, retry_s)


@dataclass(frozen=True, slots=True)
class HealthTerms:
    """What holds for all checks of a manager.

    `check_interval`, `timeout`, `rise` and `fall` are for checks registered without a
    `HealthCheckConfig`. Checks that are switched off are not run and do not count.
    `history` results are kept of each check; `at_once` checks run at the same time.
    """

    enabled: bool = True
    database_enabled: bool = True
    redis_enabled: bool = True
    check_interval: float = 30.0
    timeout: float = 10.0
    rise: int = 2
    fall: int = 3
    history: int = 100
    at_once: int = 32

    def __post_init__(self) -> None:
        if self.history < 1 or self.at_once < 1:
            raise InvalidInput(
                f"history={self.history} with at_once={self.at_once} cannot be used.",
                "Both must be at least 1.",
            )
        _ = self.usual_config

    @property
    def usual_config(self) -> HealthCheckConfig:
        """The config of a check that was given none."""
        return HealthCheckConfig(
            self.check_interval, self.timeout, self.rise, self.fall
        )


@dataclass(frozen=True, slots=True)
class HealthChange:
    """One check's verdict became another. It was `old` for `lasted_s` seconds."""

    check: str
    old: HealthState
    new: HealthState
    reason: str
    lasted_s: float
    at: float


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """A result, and the verdict after it."""

    result: CheckResult
    state: HealthState
