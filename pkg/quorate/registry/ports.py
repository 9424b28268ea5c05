"""What a backend of the registry must be able to do, in words of no backend.

Who writes names its session, and every write is refused once that session is over. Who
reads gets a snapshot, then every later change by revision, and is told when to look.
A backend that cannot be reached raises; it never answers with less than there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from quorate.core.fence import Fence
from quorate.verdict.model import HealthStatus

from .model import AdminState, ServiceInfo, Snapshot


class Word(Enum):
    """What became of a write.

    `SAME`: it was so already, and nobody is disturbed. `DEAD`: the session is over.
    `SUPERSEDED`: the id belongs to somebody else by now. `FULL`: no more fit in.
    """

    DONE = "done"
    SAME = "same"
    ABSENT = "absent"
    DEAD = "dead"
    SUPERSEDED = "superseded"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a write: what became of it, and the service's revision now.

    `incarnation` is the number of this life of the instance: a later one is greater.
    """

    word: Word
    epoch: str = ""
    revision: int = 0
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class AdminChange:
    """What somebody decided about an instance; `incarnation` 0 means any life of it.

    Under a `fence` it is refused once a later grant of that name has decided something.
    """

    state: AdminState
    reason: str = ""
    incarnation: int = 0
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """One instance that the registry has of a session."""

    service: str
    instance: str
    incarnation: int
    admin: AdminState


@dataclass(frozen=True, slots=True)
class Change:
    """One revision of a service: an instance as it is from then on, or None if gone."""

    revision: int
    instance: str
    info: ServiceInfo | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ServiceCount:
    """A service that has instances, how many, and its revision."""

    name: str
    instances: int
    revision: int


Hear = Callable[[str, int], None]
"""Told the epoch and revision of the newest change; ("", -1) when some were missed."""

MISSED = ("", -1)


class RegistryWriter(Protocol):
    """Where instances are announced. `session` is the name under which one lives."""

    async def register(
        self, session: str, info: ServiceInfo, incarnation: int
    ) -> Receipt:
        """Announce `info`. Incarnation 0 is a new life, which wins over any other."""
        ...

    async def deregister(self, session: str, service: str, instance: str) -> Receipt:
        """Take it back, at once and for everybody."""
        ...

    async def set_health(
        self, session: str, service: str, instance: str, health: HealthStatus
    ) -> Receipt:
        """Say how it is. Only another state is a revision; a new text is silent."""
        ...

    async def set_admin(
        self, session: str, service: str, instance: str, change: AdminChange
    ) -> Receipt:
        """Put it in or out of service; not only its owner may.

        Raises `StaleTokenError` under a fence that was overtaken.
        """
        ...

    async def held(self, session: str) -> Sequence[Held]:
        """Everything that the registry has of this session."""
        ...


class RegistryReader(Protocol):
    """Where instances are looked up."""

    async def snapshot(self, service: str) -> Snapshot:
        """All instances as of one revision; those of ended sessions as suspect."""
        ...

    async def changes(
        self, service: str, epoch: str, after: int
    ) -> Sequence[Change] | None:
        """Every change after a revision, in order; None if only a snapshot can tell."""
        ...

    async def services(self) -> Sequence[ServiceCount]:
        """Every service that has instances."""
        ...

    async def epoch(self) -> str:
        """The name of the registry's present history; empty before the first entry."""
        ...

    async def listen(self, service: str, hear: Hear) -> Callable[[], None]:
        """Tell `hear` of every change from now on. Returns what ends it."""
        ...


@dataclass(frozen=True, slots=True)
class Doubt:
    """When the end of many sessions at once is doubted, and for how long.

    Above `share` of a service and at least `least` instances, counting those that have
    missed a renewal: less than `late_s` of their session is left. A suspect that nobody
    can probe goes after `stay_s`; the same one is probed every `probe_every_s`.
    """

    share: float = 0.3
    least: int = 2
    late_s: float = 9.0
    stay_s: float = 75.0
    probe_every_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """An instance of an ended session, for whoever is asked to probe it."""

    session: str
    info: ServiceInfo


@dataclass(frozen=True, slots=True)
class Removal:
    """What was done about an ended session: `left` instances of it are still listed."""

    left: int
    removed: int
    suspects: tuple[Suspect, ...] = ()


class RegistrySweep(Protocol):
    """Where the instances of ended sessions are removed."""

    @property
    def tag(self) -> str:
        """The tag in which the registry's sessions live."""
        ...

    @property
    def index_key(self) -> str:
        """The set of sessions that have instances."""
        ...

    async def remove_dead(self, session: str, doubt: Doubt) -> Removal:
        """Remove them, unless so many end at once that they become suspects."""
        ...

    async def settle(self, suspect: Suspect, *, alive: bool, stay_s: float) -> bool:
        """Tell what a probe has found. True if the suspect was removed for it."""
        ...
