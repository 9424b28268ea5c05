"""What can happen to a lock that somebody should know of.

Taking and giving back are too frequent for events: they are counted in `stats()` and
seen in `holders()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLost(Event):
    """A lock ended while its block was running; the block is being stopped."""

    level: ClassVar[str] = "error"
    lock: str
    label: str
    token: int
    held_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEndangered(Event):
    """Less than a fifth of a hold's time is left; it is lost unless it is renewed."""

    level: ClassVar[str] = "warning"
    lock: str
    label: str
    token: int
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LockDenied(Event):
    """A lock was not free within the wait."""

    lock: str
    label: str
    waited_s: float
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockWaitLong(Event):
    """This process has been waiting for a lock for long, and still is."""

    level: ClassVar[str] = "warning"
    lock: str
    label: str
    waited_s: float
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocksReasserted(Event):
    """A server did not know of holds of this process; it was told of them.

    `lost` of them it could not take up again: somebody else has come since.
    """

    level: ClassVar[str] = "warning"
    told: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LockReturnDelayed(Event):
    """A lock could not be given back yet; it is tried until the session ends."""

    level: ClassVar[str] = "warning"
    lock: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlockBroken(Event):
    """Owners waited for each other in a circle; one of this process gave way."""

    level: ClassVar[str] = "warning"
    lock: str
    label: str
    owner: str
    waited_s: float
    cycle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOrderInverted(Event):
    """Two locks were taken in either order: some day two owners will wait in a circle.

    `first` was held when `second` was asked for, and the other way round before.
    """

    level: ClassVar[str] = "warning"
    first: str
    second: str
    by: str
    before: str
