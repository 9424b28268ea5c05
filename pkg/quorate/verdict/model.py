"""The words of health: the states, and what a single check may answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from quorate.core.errors import InvalidInput

Details = Mapping[str, str]


class HealthState(Enum):
    """How something is. `value` is the word for people and for the wire."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"

    @property
    def badness(self) -> int:
        """0 for healthy, rising to unhealthy; to find the worst of several."""
        return _BADNESS[self]


_BADNESS = {
    HealthState.HEALTHY: 0,
    HealthState.DEGRADED: 1,
    HealthState.STARTING: 2,
    HealthState.UNKNOWN: 3,
    HealthState.UNHEALTHY: 4,
}


class Outcome(Enum):
    """What one check found.

    `DOWN` is a failure that needs no second opinion: it is somebody else who answers,
    or the target says itself that it is going away. `INCONCLUSIVE` says nothing about
    the target: the observer was not fit to look.
    """

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    DOWN = "down"
    INCONCLUSIVE = "inconclusive"

    @property
    def answered(self) -> bool:
        """The target did its work, perhaps with reservations."""
        return self in (Outcome.SUCCESS, Outcome.WARNING)


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """How something is, and why.

    `timestamp` is when that was found, in wall time. `details` are plain texts.
    """

    status: HealthState = HealthState.UNKNOWN
    message: str = ""
    timestamp: float = 0.0
    details: Details = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {
            "status": self.status.value,
            "message": self.message,
            "timestamp": self.timestamp,
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, data: object) -> HealthStatus:
        """The status that `to_dict` wrote. Raises `InvalidInput` for anything else."""
        if isinstance(data, Mapping):
            with suppress(KeyError, ValueError, TypeError, AttributeError):
                return cls(
                    HealthState(data["status"]),
                    str(data.get("message", "")),
                    float(data.get("timestamp", 0.0)),
                    {str(k): str(v) for k, v in (data.get("details") or {}).items()},
                )
        raise InvalidInput(
            f"{data!r} is not a health status.",
            "It needs a status out of "
            f"{', '.join(state.value for state in HealthState)}.",
        )
