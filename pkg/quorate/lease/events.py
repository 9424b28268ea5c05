"""What can happen to a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionJoined(Event):
    """The process now lives in this tag under this name."""

    session: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost(Event):
    """The session ended in this tag: its locks, jobs and registrations are gone."""

    level: ClassVar[str] = "error"
    session: str
    tag: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEndangered(Event):
    """Renewals fail; unless one succeeds, the session ends in `left_s` seconds."""

    level: ClassVar[str] = "warning"
    session: str
    tag: str
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStalled(Event):
    """The event loop stands still; beyond the limit its session is not renewed."""

    level: ClassVar[str] = "warning"
    session: str
    stalled_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Event):
    """The process gave up its session on purpose."""

    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSwept(Event):
    """Somebody's session died and its claims were cleaned here."""

    session: str
    tag: str
