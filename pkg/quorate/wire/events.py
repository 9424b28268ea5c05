"""What can happen to a wire. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOpened(Event):
    """Connected to a server that is fit for use."""

    server: str
    software: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionFeared(Event):
    """The server may evict keys when memory is short; an evicted lock is lost."""

    level: ClassVar[str] = "warning"
    server: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSwitched(Event):
    """Sentinel has made another server the master; what it had not got yet is lost."""

    level: ClassVar[str] = "warning"
    service: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsMoved(Event):
    """Slots of the Cluster are served by other nodes than before."""

    cluster: str
    slots: int
