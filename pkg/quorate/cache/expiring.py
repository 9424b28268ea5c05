"""A bounded store whose entries end by age, and by policy when there are too many.

The core of every cache here: it never asks what time it is, never waits, and counts
what it does, so that hits + misses is exactly the number of questions. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.core.errors import InvalidInput

from .deadlines import Deadlines
from .policies import EvictionPolicy

V = TypeVar("V")

SWEPT_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """A stored value; `expires_at` is None if it does not age."""

    value: V
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts since the store was made, and its entries now."""

    size: int
    hits: int
    misses: int
    evictions: int
    expirations: int


class ExpiringStore(Generic[V]):
    """At most `max_size` entries. `policy` says which one goes when there are more."""

    def __init__(self, max_size: int, policy: EvictionPolicy) -> None:
        if max_size < 1:
            raise InvalidInput(
                f"A cache of {max_size} entries cannot hold anything.",
                fix="Give max_size=1 or more.",
            )
        self._max_size = max_size
        self._policy = policy
        self._entries: dict[str, Entry[V]] = {}
        self._deadlines = Deadlines()
        self._hits = self._misses = self._evictions = self._expirations = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> Entry[V] | None:
        """The entry, if it is there and has not ended. Counts a hit or a miss."""
        entry = self._entries.get(key)
        if entry is not None:
            if entry.expires_at is None or now < entry.expires_at:
                self._hits += 1
                self._policy.used(key)
                return entry
            self._expire(key)
        self._misses += 1
        return None

    def put(self, key: str, value: V, now: float, ttl_s: float | None) -> None:
        """Keep `value` for `ttl_s` seconds; None keeps it until there are too many."""
        if ttl_s is not None and not 0 < ttl_s < math.inf:
            raise InvalidInput(
                f"{key!r} cannot be kept for {ttl_s} s.",
                "The time must be above 0 and finite.",
                "Pass ttl_s=None for an entry that does not age.",
            )
        self.sweep(now)
        while key not in self._entries and len(self._entries) >= self._max_size:
            self._evict()
        expires_at = None if ttl_s is None else now + ttl_s
        self._entries[key] = Entry(value, expires_at)
        self._policy.stored(key, expires_at)
        if expires_at is None:
            self._deadlines.remove(key)
        else:
            self._deadlines.set(key, expires_at)

    def discard(self, key: str) -> bool:
        """Drop the entry; False if there was none."""
        if key not in self._entries:
            return False
        self._remove(key)
        return True

    def clear(self) -> None:
        """Drop all entries. Counts stay."""
        for key in tuple(self._entries):
            self._remove(key)

    def sweep(self, now: float, at_most: int = SWEPT_AT_ONCE) -> int:
        """Drop entries that have ended, a few at a time; how many they were."""
        for swept in range(at_most):
            soonest = self._deadlines.soonest()
            if soonest is None or now < soonest[0]:
                return swept
            self._expire(soonest[1])
        return at_most

    def stats(self) -> StoreStats:
        """Size, hits, misses, evictions and expirations."""
        return StoreStats(
            len(self._entries),
            self._hits,
            self._misses,
            self._evictions,
            self._expirations,
        )

    def _evict(self) -> None:
        victim = self._policy.victim()
        if victim not in self._entries:
            raise InvalidInput(
                f"{type(self._policy).__name__} gave up {victim!r}, "
                "which is not in the cache.",
                "A policy must follow stored(), used() and removed().",
            )
        self._remove(victim)
        self._evictions += 1

    def _expire(self, key: str) -> None:
        self._remove(key)
        self._expirations += 1

    def _remove(self, key: str) -> None:
        del self._entries[key]
        self._deadlines.remove(key)
        self._policy.removed(key)
