"""What happens to those who listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFailed(Event):
    """A user's callback raised or took too long; the others were not affected."""

    level: ClassVar[str] = "error"
    watch: str
    callback: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackLagged(Event):
    """A user's callback is so slow that calls to it are dropped, the oldest first."""

    level: ClassVar[str] = "warning"
    watch: str
    callback: str
