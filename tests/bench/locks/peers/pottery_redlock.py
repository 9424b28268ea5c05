"""pottery's Redlock for asyncio, on one master."""

from __future__ import annotations

from pottery import AIORedlock  # type: ignore[import-not-found]
from redis.asyncio import Redis
from tests.bench.locks.peers.port import Options


class Peer:
    async def open(self, url: str, options: Options) -> None:
        pool = int(options.get("pool", 0)) or None
        self._redis = Redis.from_url(url, max_connections=pool)
        self._ttl_s = options.get("ttl_s", 10.0)

    async def acquire(self, name: str) -> AIORedlock:
        lock = AIORedlock(
            key=name, masters={self._redis}, auto_release_time=self._ttl_s
        )
        await lock.acquire()
        return lock

    async def release(self, held: AIORedlock) -> None:
        await held.release()

    async def close(self) -> None:
        await self._redis.aclose()
