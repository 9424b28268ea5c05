"""All checks as one picture. Pure.

The whole is as bad as its worst critical check; what is not critical can only degrade
it. Made from verdicts that are there already: asking for it never runs a check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from quorate.verdict.model import HealthState, HealthStatus

from .model import CheckGroup


@dataclass(frozen=True, slots=True)
class CheckReport:
    """How one check stands. `since` is wall time; `state_for_s` counts up to now."""

    name: str
    status: HealthStatus
    critical: bool
    group: CheckGroup
    reason: str
    since: float
    state_for_s: float
    flapping: bool = False

    @property
    def state(self) -> HealthState:
        """The verdict."""
        return self.status.status

    def to_dict(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {
            **self.status.to_dict(),
            "critical": self.critical,
            "group": self.group.value,
            "reason": self.reason,
            "since": self.since,
            "state_for_s": round(self.state_for_s, 3),
            "flapping": self.flapping,
        }


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole: `status`, the same for each group, and the checks by name.

    `disabled` names checks that are registered but switched off.
    """

    status: HealthState
    groups: Mapping[CheckGroup, HealthState] = field(hash=False)
    checks: Mapping[str, CheckReport] = field(hash=False)
    at: float
    disabled: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """The checks that make the whole what it is; none if it is healthy."""
        if self.status is HealthState.HEALTHY:
            return ()
        return tuple(
            check.name
            for check in self.checks.values()
            if _weighed(check) is self.status
        )

    def to_dict(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {
            "status": self.status.value,
            "groups": {
                group.value: state.value for group, state in self.groups.items()
            },
            "checks": {name: check.to_dict() for name, check in self.checks.items()},
            "disabled": list(self.disabled),
            "timestamp": self.at,
        }


def make_report(
    checks: Iterable[CheckReport], at: float, disabled: Iterable[str] = ()
) -> HealthReport:
    """The picture at wall time `at`, checks in the order of their names."""
    ordered = {check.name: check for check in sorted(checks, key=lambda c: c.name)}
    groups = {
        group: worst(check for check in ordered.values() if check.group is group)
        for group in CheckGroup
    }
    return HealthReport(
        worst(ordered.values()), groups, ordered, at, tuple(sorted(disabled))
    )


def worst(checks: Iterable[CheckReport]) -> HealthState:
    """The worst state that counts; healthy if there are no checks."""
    states = map(_weighed, checks)
    return max(states, key=lambda state: state.badness, default=HealthState.HEALTHY)


def _weighed(check: CheckReport) -> HealthState:
    """What a check contributes to the whole."""
    if check.critical:
        return check.state
    if check.state in (HealthState.HEALTHY, HealthState.STARTING):
        return HealthState.HEALTHY
    return HealthState.DEGRADED
