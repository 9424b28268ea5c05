"""The words of this room: how a lock is taken, and what is known of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from quorate.core.errors import InvalidInput
from quorate.core.series import Buckets
from quorate.core.spread import NOTHING

SHORTEST_TIMEOUT_S = 0.1
LONGEST_TIMEOUT_S = 366 * 86_400.0
HIGHEST_PRIORITY = 1000

OnLoss: TypeAlias = Literal["cancel", "flag"] | Callable[[str], None]
"""What becomes of the block when the lock is lost: stopped, or only marked; a function
is called with the reason, and the block runs on as with "flag"."""


SEMAPHORE = "\x02"
ELECTION = "\x03"
"""What is no plain lock has a mark before its name, which no user's name can have."""

_KINDS = {SEMAPHORE: "semaphore", ELECTION: "election"}


def shown(name: str) -> str:
    """The name as its user gave it, without the mark of its kind."""
    return name[1:] if name[:1] in _KINDS else name


def kind_of(name: str) -> str:
    """`lock`, `semaphore` or `election`."""
    return _KINDS.get(name[:1], "lock")


class LockType(Enum):
    """How a lock is taken.

    EXCLUSIVE: one owner; asking again as the same owner is refused as a deadlock.
    REENTRANT: the same, but its owner may enter again, at no cost.
    SHARED: any number of readers and no writer; readers and writers take turns.
    """

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    REENTRANT = "reentrant"


@dataclass(frozen=True, slots=True)
class LockConfig:
    """Settings of one lock manager. Seconds.

    `auto_extend`: a lock is held as long as its block runs and the process lives. If it
    is off, every hold ends `default_timeout` after it began, whatever its block does.
    `max_hold_s`: no hold lasts longer, even if its owner lives and asked for more; a
    call may set less with `timeout_s`. None sets no such bound.
    `wait_s`: how long `acquire_lock` waits if not told; None means for ever.
    `long_wait_s`: a wait longer than this is told as an event.
    `passing_s`: tasks of this process may hand a lock to each other for so long before
    it is offered to other processes again.
    `replicas`: a grant counts only when so many replicas of the server have it, within
    `replicas_within_s`; a call may ask for another number.
    `strict`: for the session's ttl after another server has become the master, or the
    server was started again, nobody of the namespace is granted anything, so that
    holders whose claims were lost can say so first.
    `deadlock_timeout_s`: an owner that holds something and waits for so long looks
    whether it waits in a circle. `warn_of_order`: tell of the first time that two locks
    are taken in either order; costs a little at each nested acquisition.
    """

    default_timeout: float = 30.0
    auto_extend: bool = True
    max_hold_s: float | None = None
    wait_s: float | None = None
    long_wait_s: float = 5.0
    passing_s: float = 0.05
    replicas: int = 0
    replicas_within_s: float = 1.0
    strict: bool = False
    deadlock_timeout_s: float = 1.0
    warn_of_order: bool = False

    def __post_init__(self) -> None:
        check_timeout(self.default_timeout, "default_timeout")
        if self.max_hold_s is not None:
            check_timeout(self.max_hold_s, "max_hold_s")
        check_wait(self.wait_s)
        for name in (
            "long_wait_s",
            "passing_s",
            "deadlock_timeout_s",
            "replicas_within_s",
        ):
            check_seconds(getattr(self, name), name)
        check_replicas(self.replicas)

    def timeout_of(self, asked: float | None) -> float | None:
        """After how many seconds a hold ends by force; None is never."""
        if asked is None and not self.auto_extend:
            asked = self.default_timeout
        if asked is None or self.max_hold_s is None:
            return self.max_hold_s if asked is None else asked
        return min(asked, self.max_hold_s)


def check_timeout(value: object, name: str = "timeout_s") -> None:
    """Raises `InvalidInput` for a hold that would be over before it can be used."""
    if not _is_number(value) or not (
        SHORTEST_TIMEOUT_S <= value <= LONGEST_TIMEOUT_S  # type: ignore[operator]
    ):
        raise InvalidInput(
            f"{name} = {value!r} cannot be used.",
            f"It is the time after which a hold ends, from {SHORTEST_TIMEOUT_S:g} s "
            "to a year.",
            "Leave it out to hold the lock as long as its block runs.",
        )


def check_seconds(value: object, name: str) -> None:
    """Raises `InvalidInput` for what is no length of time."""
    if not _is_number(value) or value < 0:  # type: ignore[operator]
        raise InvalidInput(
            f"{name} = {value!r} cannot be used.", fix="Give seconds, zero or more."
        )


def check_priority(value: object) -> None:
    """Raises `InvalidInput` for a priority that is no small whole number."""
    if not isinstance(value, int) or not 0 <= value <= HIGHEST_PRIORITY:
        raise InvalidInput(
            f"priority = {value!r} cannot be used.",
            f"It is a whole number from 0 (as all others) to {HIGHEST_PRIORITY}; each "
            "step counts like one second of waiting.",
        )


def check_replicas(value: object) -> None:
    """Raises `InvalidInput` for what is no number of replicas."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(
            f"replicas = {value!r} cannot be used.",
            fix="Give the number of replicas that must have each grant; 0 for none.",
        )


def check_wait(value: object) -> None:
    """Raises `InvalidInput` for a wait that makes no sense."""
    if value is not None and (not _is_number(value) or value < 0):  # type: ignore[operator]
        raise InvalidInput(
            f"wait_s = {value!r} cannot be used.",
            fix="Give seconds: 0 only tries, None waits for ever.",
        )


def _is_number(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


@dataclass(frozen=True, slots=True)
class HolderFacts:
    """Who holds a lock. `ends_in_s` is None when this process knows no end.

    `ends_in_s`: at the latest then it is free, unless its session is renewed.
    """

    name: str
    lock_type: LockType
    token: int
    session: str
    owner: str
    label: str
    held_s: float
    ends_in_s: float | None = None

    def __str__(self) -> str:
        who = f"{self.label} in {self.session}" if self.label else self.session
        return f"{who}, since {self.held_s:.1f} s, token {self.token}"


@dataclass(frozen=True, slots=True)
class WaiterFacts:
    """Who waits for a lock, and whether its session lives."""

    name: str
    lock_type: LockType
    session: str
    owner: str
    label: str
    waited_s: float
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A lock as the server sees it: holders, and waiters in the order of their kind."""

    name: str
    token: int
    holders: tuple[HolderFacts, ...]
    waiters: tuple[WaiterFacts, ...]

    @property
    def is_free(self) -> bool:
        return not self.holders

    def __str__(self) -> str:
        if self.is_free:
            return f"{self.name!r} is free; {len(self.waiters)} wait."
        held = "; ".join(str(holder) for holder in self.holders[:3])
        return f"{self.name!r} is held by {held}; {len(self.waiters)} wait."


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, and in which term: a later leader has a higher one."""

    election: str
    term: int
    candidate: str
    session: str


@dataclass(frozen=True, slots=True)
class LockLine:
    """One line of the list of locks: how many hold it and how many wait.

    `kind`: `lock`, `semaphore` or `election`.
    """

    name: str
    holders: tuple[str, ...]
    waiting: int
    kind: str = "lock"


@dataclass(frozen=True, slots=True)
class TemplateStats:
    """The same for the locks of one template. `wait_s`: of those that were granted."""

    acquired_total: int = 0
    contended_total: int = 0
    denied_total: int = 0
    lost_total: int = 0
    wait_s: Buckets = NOTHING
    hold_s: Buckets = NOTHING


@dataclass(frozen=True, slots=True)
class LockStats:
    """Counts since the start, and sums in seconds.

    `contended_total`: acquisitions that had to wait, for this process or another.
    `passed_total`: those served inside the process, without the server.
    `deadlocks_total`: owners of this process that gave way to break a circle.
    `denied_total`: those that waited in vain. `by_template`: the same for each template
    of `with_lock`; `(block)` are locks that are named where they are taken.
    """

    acquired_total: int = 0
    reentered_total: int = 0
    contended_total: int = 0
    passed_total: int = 0
    deadlocks_total: int = 0
    denied_total: int = 0
    lost_total: int = 0
    wait_s_total: float = 0.0
    hold_s_total: float = 0.0
    held: int = 0
    waiting: int = 0
    by_template: Mapping[str, TemplateStats] = field(default_factory=dict)
