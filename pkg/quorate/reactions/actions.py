"""What a rule may ask for. Values, carried out by the engine. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .view import DegradedLevel


@dataclass(frozen=True, slots=True)
class SetDegraded:
    """Write `service.degraded_mode` and `service.degraded_level`, with the cause."""

    on: bool
    level: DegradedLevel
    cause: str


@dataclass(frozen=True, slots=True)
class ShedLanes:
    """Let workers take no tasks from the lowest `level` lanes."""

    level: int
    cause: str


Action: TypeAlias = SetDegraded | ShedLanes
