"""What is asked of a store, what it answers, and the news that it tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from quorate.lease.lease import DRIFT

from .model import HolderFacts


@dataclass(frozen=True, slots=True)
class Confirm:
    """A grant counts only when so many replicas have it, within so many seconds."""

    replicas: int
    within_s: float


@dataclass(slots=True)
class Ask:
    """A wish for a lock, as a store gets it. Its `id` is chosen before it is sent.

    Nobody changes it; it is not frozen because that costs more than all the rest of it.

    `hard_s`: the hold ends by itself after so many seconds; 0 is never. `wait`: stand
    in line if it is taken. `under`: the session under which it was asked before; asking
    again under another one is refused. `ahead_s`: it passes those in line who came less
    than so many seconds before it. A semaphore is asked for `weight` of its `permits`.
    A grant counts only as `confirm` says.
    """

    name: str
    id: str
    shared: bool
    wait: bool
    hard_s: float
    owner: str
    label: str
    under: str = ""
    ahead_s: float = 0.0
    weight: int = 0
    permits: int = 0
    confirm: Confirm | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """The server's clock as seen once: it showed `server_s` not before `local`."""

    local: float
    server_s: float

    def not_later_than(self, server_s: float) -> float:
        """A local moment that certainly was not after the server's `server_s`."""
        return self.local + max(0.0, server_s - self.server_s) * (1 - DRIFT)


class Granted(NamedTuple):
    """The lock is held, on the life of `session` in `tag`.

    `token` up to `last_token` are reserved for this hold. `granted_at` is a local
    moment not after the grant. `echo`: a second copy of the ask may still arrive.
    """

    token: int
    last_token: int
    tag: str
    session: str
    granted_at: float
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """Standing in line. `look_in_s`: when somebody's hard end is due, if known."""

    tag: str
    session: str
    sighting: Sighting
    look_in_s: float | None
    holder: HolderFacts | None
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """It is taken, and nobody stands in line on our behalf."""

    holder: HolderFacts | None


@dataclass(frozen=True, slots=True)
class Roll:
    """What a server knows of a session's claims: their names by their ids.

    `run` is another one when another server answers, or the same one started again;
    with `is_as_known` nothing else was asked.
    """

    run: str
    is_as_known: bool
    is_alive: bool
    claims: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """A hold as its owner has it, to be told to a server that may have forgotten it."""

    name: str
    id: str
    shared: bool
    token: int
    last_token: int
    hard_s: float
    held_s: float
    owner: str
    label: str
    weight: int


Answer: TypeAlias = Granted | Queued | Busy

Was: TypeAlias = Literal["held", "waiting", "unknown"]
"""What a claim was when it was ended."""


class GrantNotice(NamedTuple):
    """News: the waiter `id` holds the lock since the server's `server_s`."""

    name: str
    id: str
    token: int
    last_token: int
    server_s: float


@dataclass(frozen=True, slots=True)
class LossNotice:
    """News: the hold `id` was ended by the server."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class LookNotice:
    """News: ask again for `id` in so many seconds."""

    name: str
    id: str
    in_s: float


@dataclass(frozen=True, slots=True)
class ResyncNotice:
    """News were missed: ask again for everything."""


Notice: TypeAlias = GrantNotice | LossNotice | LookNotice | ResyncNotice
