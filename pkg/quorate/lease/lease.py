"""A claim that ends unless renewed.

Lock holds, registrations, reservations and terms of office all hang on one. This file
only reasons about it: it never asks what time it is. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.core.errors import InvalidSettings

DRIFT = 0.01
"""Two clocks may differ in rate by so much (pottery, redsync and Redlock say 1 %)."""

DRIFT_FIXED_S = 0.002
MARGIN = 0.05
MARGIN_S_MIN = 0.05
DANGER = 0.2
TTL_S_MIN = 0.5
TTL_S_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as its owner may trust it, in seconds of the owner's monotonic clock.

    Trust is counted from before the request was sent (Kleppmann's rule), cut by clock
    drift, and ends a margin before the server could give the claim to somebody else.
    """

    asked_at: float
    ttl_s: float
    trusted_until: float = field(init=False, repr=False, compare=False)
    """Work under the lease must have stopped by this moment."""

    def __post_init__(self) -> None:
        # Once, because it is asked for at every step of a lock.
        margin_s = max(MARGIN_S_MIN, self.ttl_s * MARGIN)
        object.__setattr__(self, "trusted_until", self.valid_until - margin_s)

    @property
    def valid_until(self) -> float:
        """The server cannot have ended the lease before this moment."""
        return self.asked_at + self.ttl_s * (1 - DRIFT) - DRIFT_FIXED_S

    @property
    def danger_at(self) -> float:
        """From here on the owner is warned: less than a fifth is left."""
        return self.trusted_until - self.ttl_s * DANGER

    def is_trusted(self, now: float) -> bool:
        """May the owner still act on it?"""
        return now < self.trusted_until

    def left_s(self, now: float) -> float:
        """Seconds of trust that are left; never below zero."""
        return max(0.0, self.trusted_until - now)

    def renewed(self, asked_at: float) -> Lease:
        """The same lease after a renewal that was sent at `asked_at`."""
        return Lease(asked_at=max(self.asked_at, asked_at), ttl_s=self.ttl_s)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a session lives and how it is kept. In seconds.

    `max_stall_s`: a process whose event loop has made no progress for so long is not
    renewed any more, because whatever it holds it does not work on. Terms that cannot
    keep a session alive are refused with `InvalidSettings`.
    """

    ttl_s: float = 15.0
    renew_every_s: float = 5.0
    retry_every_s: float = 1.0
    max_stall_s: float = 30.0

    def __post_init__(self) -> None:
        rules = {
            f"ttl_s is {self.ttl_s:g}; it is {TTL_S_MIN:g} to {TTL_S_MAX:g} seconds.": (
                TTL_S_MIN <= self.ttl_s <= TTL_S_MAX
            ),
            f"renew_every_s is {self.renew_every_s:g}; it is above 0 and at most half "
            f"of ttl_s, so that one renewal may fail.": (
                0 < self.renew_every_s <= self.ttl_s / 2
            ),
            f"retry_every_s is {self.retry_every_s:g}; it is above 0 and at most "
            f"renew_every_s.": 0 < self.retry_every_s <= self.renew_every_s,
            f"max_stall_s is {self.max_stall_s:g}; it is above 0 and finite, so that "
            f"a process that hangs gives up what it holds.": (
                0 < self.max_stall_s < float("inf")
            ),
        }
        faults = [fault for fault, holds in rules.items() if not holds]
        if faults:
            raise InvalidSettings(
                "The terms of the session cannot be kept.", "\n  ".join(faults)
            )

    def somebody_is_late(self, first_end_in_s: float) -> bool:
        """Has another session missed a renewal, seen from the first end to come?"""
        return first_end_in_s < (self.ttl_s - self.renew_every_s) * 0.9
