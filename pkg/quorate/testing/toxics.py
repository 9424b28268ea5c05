"""What can be wrong with a connection: toxiproxy's words, as values.

Each toxic acts on one direction of a share of the connections: "down" is what the
server says to the client, "up" the other way. Which connections it strikes is drawn
once a connection, from the proxy's seed. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """Something wrong with a share of the connections, in one direction."""

    direction: Direction = "down"
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Toxic):
    """Data arrives later by `latency_s`, give or take up to `jitter_s`; in order."""

    latency_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth(Toxic):
    """At most so many bytes a second."""

    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicer(Toxic):
    """Data arrives in pieces of `size` bytes, `delay_s` apart."""

    size: int = 1
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swallow(Toxic):
    """Data vanishes and the connection stays (toxiproxy's `timeout`).

    Closed `after_s` from when it was struck; 0 leaves it open. When the toxic is
    removed, connections that have lost data are reset: TCP never goes on with a gap.
    """

    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitData(Toxic):
    """After so many bytes from when it was struck, the connection is closed."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowClose(Toxic):
    """The other side learns `delay_s` later that this one has closed."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPeer(Toxic):
    """The connection is reset (RST) on both sides, `after_s` after it was struck."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Down(Toxic):
    """Nobody answers: connections are reset, new ones refused. Strikes all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseReply(Toxic):
    """The server has done it, but its answer never arrives: the connection is cut.

    Counts the replies to commands with `of` in their bytes (the name of a command, the
    digest of a script; empty: every reply), over all connections, and strikes at the
    `nth`, or each with the chance `chance`. `swallow` leaves the connection open and
    silent instead of resetting it. Needs a proxy with `redis=True`.
    """

    of: bytes = b""
    nth: int = 0
    chance: float = 0.0
    swallow: bool = False
