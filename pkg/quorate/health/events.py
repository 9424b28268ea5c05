"""What happens to health, as it is told to logs, metrics and reactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged(Event):
    """One check's verdict became another. `old` and `new` are words of health."""

    level: ClassVar[str] = "warning"
    check: str
    old: str
    new: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOverallChanged(Event):
    """The verdict on the whole became another; `causes` are the checks at fault."""

    level: ClassVar[str] = "warning"
    old: str
    new: str
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthObserverStalled(Event):
    """The event loop stood still, so what the checks saw meanwhile does not count."""

    level: ClassVar[str] = "warning"
    stalled_s: float
