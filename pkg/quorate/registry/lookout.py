"""Is the store there, and is its history still the one we know?

A server that hangs or is cut off sends no notice, so somebody has to ask. One question
a second, whatever the number of services; the answer names the store's epoch, so that
an emptied store is noticed at once too. Who looks things up also lives in the registry,
so that its sweeper hears of the dead even when nobody else is left to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quorate.core.clock import Clock
from quorate.core.errors import SessionLostError, StoreError

from .discovery_cache import DiscoveryCache
from .following import Follower
from .ports import RegistryReader


@dataclass(frozen=True, slots=True)
class LookoutTerms:
    """In seconds: the store is asked so often, and is away if it takes so long."""

    every_s: float = 1.0
    timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class LookoutHands:
    """What the lookout does: live in the registry, tell of another history, let go."""

    join: Callable[[], Awaitable[object]]
    on_new_history: Callable[[], None]
    let_go: Callable[[Follower], Awaitable[None]]


class Lookout:
    """A role: asks, and lets the followers know. It also lets go of the unused."""

    name = "lookout"

    def __init__(
        self,
        reader: RegistryReader,
        cache: DiscoveryCache,
        clock: Clock,
        terms: LookoutTerms,
        hands: LookoutHands,
    ) -> None:
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._terms = terms
        self._hands = hands

    async def tick(self) -> float:
        for follower in self._cache.idle(self._clock.monotonic()):
            await self._hands.let_go(follower)
        if len(self._cache):
            await self._look()
        return self._terms.every_s

    async def _look(self) -> None:
        asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._terms.timeout_s):
                epoch = await self._reader.epoch()
                await self._hands.join()
        except (StoreError, SessionLostError, TimeoutError) as error:
            why = str(error) or f"It did not answer in {self._terms.timeout_s:g} s."
            for follower in self._cache:
                follower.out_of_sight(why)
            return
        for follower in self._cache:
            follower.still_in_sight(asked_at)
            snapshot, known = follower.snapshot, follower.store_epoch
            is_stale = snapshot is not None and snapshot.stale_since is not None
            is_other = known is not None and known != epoch
            if is_stale or is_other:
                follower.look_again()
            if is_other:
                self._hands.on_new_history()
