"""What happens in the registry, as it is told to logs, metrics and reactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRegistered(Event):
    """This process has announced an instance of its own."""

    service: str
    instance: str
    endpoint: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceDeregistered(Event):
    """This process has taken an instance of its own back."""

    service: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSuperseded(Event):
    """A later process has registered the same id; this one may not touch it again."""

    level: ClassVar[str] = "error"
    service: str
    instance: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceJoined(Event):
    """Discovery sees an instance that was not there before."""

    service: str
    instance: str
    endpoint: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGone(Event):
    """Discovery does not see an instance any more."""

    level: ClassVar[str] = "warning"
    service: str
    instance: str
    endpoint: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHealthChanged(Event):
    """An instance's health is another one. `old` and `new` are words of health."""

    level: ClassVar[str] = "warning"
    service: str
    instance: str
    old: str
    new: str
    reason: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceAdminChanged(Event):
    """People (or a deploy) have put an instance in or out of service."""

    service: str
    instance: str
    old: str
    new: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSuspected(Event):
    """An instance's session has ended; it is listed until somebody has looked."""

    level: ClassVar[str] = "warning"
    service: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryStale(Event):
    """The registry does not answer; the last snapshot serves on."""

    level: ClassVar[str] = "warning"
    service: str
    revision: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRecovered(Event):
    """The registry answers again after `stale_s` seconds."""

    service: str
    revision: int
    stale_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFailed(Event):
    """The probe of a suspect instance raised; nothing was learned from it."""

    level: ClassVar[str] = "warning"
    service: str
    instance: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceUnreadable(Event):
    """An entry of the registry cannot be read here; the others are served."""

    level: ClassVar[str] = "error"
    service: str
    instance: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerPanicked(Event):
    """So few instances are fit that calls now go to all of them."""

    level: ClassVar[str] = "error"
    service: str
    fit: int
    judged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerCalmed(Event):
    """Enough instances are fit again; calls go to those alone."""

    service: str
    fit: int
    judged: int
