"""The words of the registry: an instance, and all instances of a service at once.

Values only: frozen, checked when they are made, and the same for every backend. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from quorate.core.errors import InvalidInput
from quorate.core.names import check_name
from quorate.verdict.model import HealthState, HealthStatus

from .endpoint import Endpoint

MAX_PAIRS = 64
MAX_KEY_CHARS = 128
MAX_VALUE_BYTES = 512
MAX_WEIGHT = 65_535
RESERVED_PREFIX = "consul-"
"""Limits of Consul's `Meta`, kept for every backend so that a service can move."""

_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_CHARS}}}")


class AdminState(Enum):
    """What people decided about an instance, whatever its health."""

    ACTIVE = "active"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One instance of a service.

    `health` is the last known status and `last_check` when it was found (wall time in
    seconds, like `registered_at`). `weight` is its share of calls against the others.
    `session` registered it, and `incarnation` numbers this life of its id: a later one
    is greater. `revision` is the service's revision at which this entry last changed.
    `suspect` means that its session has ended and nobody has confirmed yet that it is
    gone.
    """

    id: str
    name: str
    endpoint: str
    version: str = ""
    health: HealthStatus = field(default_factory=HealthStatus)
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    last_check: float | None = None
    registered_at: float = 0.0
    weight: int = 1
    zone: str = ""
    session: str = ""
    incarnation: int = 0
    revision: int = 0
    admin_state: AdminState = AdminState.ACTIVE
    suspect: bool = False

    def __post_init__(self) -> None:
        check_name(self.id, "instance")
        check_name(self.name, "service")
        Endpoint.parse(self.endpoint)
        _check_short(self.version, "version")
        _check_short(self.zone, "zone")
        _check_number(self.registered_at, "registered_at")
        _check_number(self.incarnation, "incarnation")
        _check_number(self.revision, "revision")
        if self.last_check is not None:
            _check_number(self.last_check, "last_check")
        if type(self.weight) is not int or not 1 <= self.weight <= MAX_WEIGHT:
            raise InvalidInput(
                f"The weight of {self.id!r} is {self.weight!r}.",
                f"It must be a whole number from 1 to {MAX_WEIGHT}.",
                "To keep calls away from an instance, put it in maintenance.",
            )
        frozen = MappingProxyType(dict(check_metadata(self.metadata)))
        object.__setattr__(self, "metadata", frozen)

    @property
    def state(self) -> HealthState:
        """How it is, in one word; unknown while it is suspect."""
        return HealthState.UNKNOWN if self.suspect else self.health.status

    @property
    def address(self) -> Endpoint:
        """The endpoint in its parts."""
        return Endpoint.parse(self.endpoint)

    def with_health(self, health: HealthStatus) -> ServiceInfo:
        """The same instance with a newer status."""
        return replace(self, health=health, last_check=health.timestamp)

    def to_dict(self) -> dict[str, object]:
        """As plain values, for JSON. `ServiceInfo.from_dict` reads it back."""
        return {
            "id": self.id,
            "name": self.name,
            "endpoint": self.endpoint,
            "version": self.version,
            "health": self.health.to_dict(),
            "metadata": dict(self.metadata),
            "last_check": self.last_check,
            "registered_at": self.registered_at,
            "weight": self.weight,
            "zone": self.zone,
            "session": self.session,
            "incarnation": self.incarnation,
            "revision": self.revision,
            "admin_state": self.admin_state.value,
            "suspect": self.suspect,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> ServiceInfo:
        """The instance in `data`. Fields it does not know are left out, so that a
        newer writer can be read. Raises `InvalidInput` for what is not an instance.
        """
        known = {key: data[key] for key in cls.__dataclass_fields__ if key in data}
        try:
            if "health" in known:
                known["health"] = HealthStatus.from_dict(known["health"])
            if "admin_state" in known:
                known["admin_state"] = AdminState(known["admin_state"])
            return cls(**known)  # type: ignore[arg-type]
        except InvalidInput:
            raise
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidInput(
                f"An instance in the registry cannot be read: {data.get('id')!r}.",
                f"{type(error).__name__}: {error}",
                "It was written by a program that is not compatible.",
            ) from error


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All instances of the service `name` as of `revision`, in the order of their ids.

    `loaded_at` and `stale_since` are monotonic seconds of this process; `stale_since`
    is None while the registry answers. Make it with `Snapshot.of`.
    """

    name: str
    epoch: str
    revision: int
    instances: tuple[ServiceInfo, ...]
    by_id: Mapping[str, ServiceInfo] = field(hash=False)
    loaded_at: float
    stale_since: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        instances: Iterable[ServiceInfo] = (),
        *,
        epoch: str = "",
        revision: int = 0,
        loaded_at: float = 0.0,
    ) -> Snapshot:
        """Raises `InvalidInput` for a foreign instance and for an id that is twice."""
        check_name(name, "service")
        ordered = tuple(sorted(instances, key=lambda instance: instance.id))
        by_id = {instance.id: instance for instance in ordered}
        if len(by_id) != len(ordered):
            raise InvalidInput(f"The instances of {name!r} have an id that is twice.")
        for instance in ordered:
            if instance.name != name:
                raise InvalidInput(
                    f"{instance.id!r} is an instance of {instance.name!r}, "
                    f"not of {name!r}."
                )
        return cls(name, epoch, revision, ordered, MappingProxyType(by_id), loaded_at)

    def age_s(self, now: float) -> float:
        """Seconds since it was loaded; `now` is monotonic."""
        return max(0.0, now - self.loaded_at)

    def gone_stale(self, now: float) -> Snapshot:
        """The same, known to be stale since `now` unless it was so before."""
        return self if self.stale_since is not None else replace(self, stale_since=now)


@dataclass(frozen=True, slots=True)
class Difference:
    """What another snapshot changed, each part in the order of ids."""

    added: tuple[ServiceInfo, ...]
    removed: tuple[ServiceInfo, ...]
    changed: tuple[tuple[ServiceInfo, ServiceInfo], ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(before: Snapshot | None, after: Snapshot) -> Difference:
    """What is new, gone and changed (before, after) between two snapshots."""
    old = before.by_id if before else {}
    new = after.by_id
    return Difference(
        added=tuple(i for i in after.instances if i.id not in old),
        removed=tuple(i for key, i in old.items() if key not in new),
        changed=tuple(
            (was, i)
            for i in after.instances
            if (was := old.get(i.id)) is not None and was is not i and was != i
        ),
    )


def check_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """The metadata itself, if it can be stored. Raises `InvalidInput` otherwise."""
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"Metadata must be a mapping, not {metadata!r}.")
    if len(metadata) > MAX_PAIRS:
        raise InvalidInput(
            f"There are {len(metadata)} pairs of metadata; {MAX_PAIRS} are allowed.",
            fix="Store the rest elsewhere and put a reference here.",
        )
    for key, value in metadata.items():
        if why := _why_not(key, value):
            raise InvalidInput(
                f"The metadata {key!r} cannot be stored.",
                why,
                "Use a short key of letters, digits, _ and -, and a short text.",
            )
    return metadata


def _why_not(key: object, value: object) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return f"A key has 1 to {MAX_KEY_CHARS} of A-Z a-z 0-9 _ -."
    if key.lower().startswith(RESERVED_PREFIX):
        return f"Keys that begin with {RESERVED_PREFIX} belong to Consul."
    if not isinstance(value, str):
        return f"Its value is a {type(value).__name__}, not a text."
    if len(value.encode(errors="replace")) > MAX_VALUE_BYTES:
        return f"Its value is over {MAX_VALUE_BYTES} bytes."
    if any(ord(c) < 0x20 or 0xD800 <= ord(c) <= 0xDFFF for c in value):
        return "Its value has control characters in it."
    return ""


def _check_short(text: object, what: str) -> None:
    if not isinstance(text, str) or len(text) > MAX_KEY_CHARS or not text.isprintable():
        raise InvalidInput(
            f"{text!r} cannot be used as a {what}.",
            f"It must be a printable text of at most {MAX_KEY_CHARS} characters.",
        )


def _check_number(value: object, what: str) -> None:
    if type(value) not in (int, float):
        raise InvalidInput(f"{what} of an instance must be a number, not {value!r}.")
