"""The services that this process follows, and for how long it goes on.

Looking a service up costs nothing while it is followed. One that nobody has asked for
in a while and nobody watches is let go, so that names from outside cannot pile up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quorate.core.errors import StoreRefused

from .following import Follower


@dataclass(frozen=True, slots=True)
class DiscoveryCacheStats:
    """Lookups answered at once, lookups that began to follow, and who was let go."""

    hits: int
    misses: int
    let_go: int
    followed: int


class DiscoveryCache:
    """Followers by service. `ttl_s` is how long an unused one is kept."""

    def __init__(self, ttl_s: float = 300.0, size_max: int = 1000) -> None:
        self.ttl_s = ttl_s
        self.size_max = size_max
        self._followers: dict[str, Follower] = {}
        self._used_at: dict[str, float] = {}
        self._kept: dict[str, int] = {}
        self._hits = self._misses = self._let_go = 0

    def __iter__(self) -> Iterator[Follower]:
        return iter(tuple(self._followers.values()))

    def __len__(self) -> int:
        return len(self._followers)

    def get(self, service: str, now: float) -> Follower | None:
        """The follower of `service`, used now; None if it is not followed."""
        follower = self._followers.get(service)
        if follower is None:
            self._misses += 1
            return None
        self._hits += 1
        self._used_at[service] = now
        return follower

    def peek(self, service: str) -> Follower | None:
        """The follower of `service`; looking counts as no use of it."""
        return self._followers.get(service)

    def add(self, follower: Follower, now: float) -> None:
        """Follow one more. Raises `StoreRefused` when there are too many in use."""
        if len(self._followers) >= self.size_max:
            raise StoreRefused(
                f"{follower.service!r} is not followed.",
                f"{self.size_max} services are followed and in use already.",
                "Look up fewer services, or raise the limit of the discovery cache.",
            )
        self._followers[follower.service] = follower
        self._used_at[follower.service] = now

    def keep(self, service: str) -> None:
        """Somebody depends on this one: it stays until `release`."""
        self._kept[service] = self._kept.get(service, 0) + 1

    def release(self, service: str, now: float) -> None:
        """One fewer depends on it."""
        self._kept[service] = self._kept.get(service, 1) - 1
        if self._kept[service] <= 0:
            del self._kept[service]
        self._used_at[service] = now

    def idle(self, now: float) -> list[Follower]:
        """Take out, and return, those that nobody has used for `ttl_s`."""
        unused = [
            service
            for service, used_at in self._used_at.items()
            if now - used_at > self.ttl_s and service not in self._kept
        ]
        self._let_go += len(unused)
        for service in unused:
            del self._used_at[service]
        return [self._followers.pop(service) for service in unused]

    def stats(self) -> DiscoveryCacheStats:
        return DiscoveryCacheStats(
            self._hits, self._misses, self._let_go, len(self._followers)
        )
