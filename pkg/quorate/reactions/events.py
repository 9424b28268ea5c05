"""What the reactions did, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedModeEntered(Event):
    """`service.degraded_mode` is on."""

    level: ClassVar[str] = "warning"
    cause: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedModeLeft(Event):
    """`service.degraded_mode` is off again."""

    cause: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedLevelChanged(Event):
    """`service.degraded_mode` stays on; more is left undone, or less."""

    level: ClassVar[str] = "warning"
    level_was: str
    level_is: str
    cause: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesShed(Event):
    """Workers take no tasks from the lowest `lanes` lanes; 0 is back to normal."""

    lanes: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSuspended(Event):
    """The application sets the value itself, so the shipped rule is off."""

    rule: str
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactorElected(Event):
    """This process is now the one that carries the reactions out."""

    token: int
