"""The lock of coredis."""

from __future__ import annotations

from coredis import Redis  # type: ignore[import-not-found]
from coredis.patterns.lock import Lock  # type: ignore[import-not-found]
from tests.bench.locks.peers.port import Options


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self._redis = Redis.from_url(url)
        self._ttl_s = options.get("ttl_s", 10.0)
        await self._redis.__aenter__()

    async def acquire(self, name: str) -> Lock[bytes]:
        lock = self._redis.lock(name, timeout=self._ttl_s)
        await lock.acquire()
        return lock

    async def release(self, held: Lock[bytes]) -> None:
        await held.release()

    async def close(self) -> None:
        await self._redis.__aexit__(None, None, None)
