"""A cache for coroutines: what is missing is loaded once, however many ask.

A load runs in a task of the cache's own, so that a caller who is cancelled takes
nothing away from the others who wait for the same key. While a loader fails, nothing
is stored and every waiting caller gets its error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from quorate.core.clock import Clock, SystemClock
from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import Tasks

from .expiring import ExpiringStore
from .policies import EvictionPolicy, LeastRecentlyUsed

V = TypeVar("V")
D = TypeVar("D")

DEFAULT_TTL_S = 300.0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the cache was made, and its entries now.

    hits + misses is the number of questions. Of the misses of `get_or_load`, `loads`
    began a load and `joined` waited for one that was under way.
    """

    size: int
    hits: int
    misses: int
    evictions: int
    expirations: int
    loads: int
    load_failures: int
    joined: int

    @property
    def hit_rate(self) -> float:
        """Hits per question, from 0.0 to 1.0."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[V]):
    value: V


class Cache(Generic[V]):
    """At most `max_size` values, each kept for `ttl_s` seconds.

    `policy` says what goes when there are too many: `LeastRecentlyUsed` (default),
    `FirstInFirstOut`, `SoonestToExpire`, or your own. `load_timeout_s` bounds a load.
    """

    def __init__(
        self,
        max_size: int = 10_000,
        ttl_s: float | None = DEFAULT_TTL_S,
        *,
        policy: EvictionPolicy | None = None,
        load_timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if ttl_s is not None and not ttl_s > 0:
            raise InvalidInput(
                f"Values cannot be kept for {ttl_s} s.",
                fix="Give a time above 0, or None for values that do not age.",
            )
        self._store = ExpiringStore[V](max_size, policy or LeastRecentlyUsed())
        self._ttl_s = ttl_s
        self._load_timeout_s = load_timeout_s
        self._clock = clock or SystemClock()
        self._tasks = Tasks()
        self._flights: dict[str, asyncio.Task[_Loaded[V] | Exception]] = {}
        self._loads = self._load_failures = self._joined = 0

    @overload
    async def get(self, key: str) -> V | None: ...

    @overload
    async def get(self, key: str, default: D) -> V | D: ...

    async def get(self, key: str, default: D | None = None) -> V | D | None:
        """The value, or `default` if it is not there."""
        entry = self._store.get(key, self._clock.monotonic())
        return default if entry is None else entry.value

    async def set(self, key: str, value: V, ttl_s: float | None = None) -> None:
        """Keep `value` for `ttl_s` seconds, by default for the cache's own time.

        A load of the same key that is under way will not overwrite it.
        """
        self._flights.pop(key, None)
        self._keep(key, value, ttl_s)

    async def delete(self, key: str) -> bool:
        """Forget the value; False if there was none.

        A load of the same key that is under way will not bring it back.
        """
        self._flights.pop(key, None)
        return self._store.discard(key)

    async def clear(self) -> None:
        """Forget all values, and the results of loads that are under way."""
        self._flights.clear()
        self._store.clear()

    async def get_or_load(
        self,
        key: str,
        load: Callable[[], Awaitable[V]],
        ttl_s: float | None = None,
    ) -> V:
        """The value; if it is not there, what `load` gives, kept for `ttl_s` seconds.

        One load at a time for each key. Raises what `load` raises, or `TimeoutError`
        after `load_timeout_s`; then nothing is kept and the next caller loads again.
        """
        entry = self._store.get(key, self._clock.monotonic())
        if entry is not None:
            return entry.value
        flight = self._flights.get(key)
        if flight is None:
            flight = self._tasks.spawn(self._load(key, load, ttl_s), f"load {key}")
            self._flights[key] = flight
        else:
            self._joined += 1
        outcome = await asyncio.shield(flight)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.value

    async def close(self) -> None:
        """Stop loads that are under way; who waits for them is cancelled."""
        await self._tasks.close()

    def stats(self) -> CacheStats:
        """Size, hits, misses, evictions, expirations and loads."""
        stored = self._store.stats()
        return CacheStats(
            stored.size,
            stored.hits,
            stored.misses,
            stored.evictions,
            stored.expirations,
            self._loads,
            self._load_failures,
            self._joined,
        )

    def _keep(self, key: str, value: V, ttl_s: float | None) -> None:
        kept_s = self._ttl_s if ttl_s is None else ttl_s
        self._store.put(key, value, self._clock.monotonic(), kept_s)

    async def _load(
        self, key: str, load: Callable[[], Awaitable[V]], ttl_s: float | None
    ) -> _Loaded[V] | Exception:
        """Load once. An error is returned: perhaps nobody waits for it any more."""
        self._loads += 1
        me = asyncio.current_task()
        try:
            async with asyncio.timeout(self._load_timeout_s):
                value = await load()
            if self._flights.get(key) is me:
                self._keep(key, value, ttl_s)
        except Exception as error:
            self._load_failures += 1
            return error
        finally:
            if self._flights.get(key) is me:
                del self._flights[key]
        return _Loaded(value)
