"""What happens to configuration. Keys are told, values never: they may be secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanged(Event):
    """This process sees other values now. `revision` is the store's."""

    keys: tuple[str, ...]
    source: str
    revision: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigPublished(Event):
    """This process wrote a transaction into the store."""

    keys: tuple[str, ...]
    revision: int
    author: str
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSourceFailed(Event):
    """A source gave nothing usable; what it gave last stays in force."""

    level: ClassVar[str] = "warning"
    source: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSourceRestored(Event):
    """A source that had failed gives usable content again."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigResynced(Event):
    """The row of transactions could not be followed; a whole snapshot was taken."""

    reason: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGoodUsed(Event):
    """A source is away; what was kept on disk at `since` (wall time) is in force."""

    level: ClassVar[str] = "warning"
    source: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGoodFailed(Event):
    """The last known good values could not be kept on, or read from, disk."""

    level: ClassVar[str] = "warning"
    path: str
    error: str
