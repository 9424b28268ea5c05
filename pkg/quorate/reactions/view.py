"""What the rules look at: the state of everything, at one moment. Pure.

Rules are level-based: they compare what is with what should be, so that an event that
was missed heals on the next look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DependencyState(StrEnum):
    """A dependency as its check sees it."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class DegradedLevel(StrEnum):
    """`service.degraded_level`, beside the owner's boolean: how much is left undone."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    SURVIVAL = "survival"

    @property
    def shed(self) -> int:
        """How many of the lowest lanes are not served."""
        return list(DegradedLevel).index(self)


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that the system needs. `since` is monotonic seconds."""

    name: str
    state: DependencyState
    since: float
    critical: bool = True
    message: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """The system at one moment.

    `degraded` is the stored value of `service.degraded_mode`; `set_by` is who set it,
    empty if nobody did. `changed_at` is the monotonic moment at which the value was
    first seen as it is. `level` is the stored `service.degraded_level`, and `told` the
    same if an application has set it. `lasts_since` is the monotonic moment from which
    the one who looks has seen this level.
    """

    dependencies: tuple[Dependency, ...] = ()
    degraded: bool = False
    set_by: str = ""
    changed_at: float = float("-inf")
    shed_level: int | None = None
    level: DegradedLevel = DegradedLevel.NORMAL
    told: DegradedLevel | None = None
    lasts_since: float = float("inf")

    @property
    def stands(self) -> DegradedLevel:
        """The level at which the system is."""
        if not self.degraded:
            return DegradedLevel.NORMAL
        if self.level is DegradedLevel.NORMAL:
            return DegradedLevel.DEGRADED
        return self.level

    def critical(self) -> tuple[Dependency, ...]:
        """The dependencies that the system cannot do without."""
        return tuple(each for each in self.dependencies if each.critical)
