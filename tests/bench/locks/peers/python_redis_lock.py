"""python-redis-lock: the only peer that is fair, by BLPOP. It has no asyncio."""

from __future__ import annotations

import redis_lock  # type: ignore[import-not-found]
from redis import Redis
from tests.bench.locks.peers.port import Options


class Peer:
    async def open(self, url: str, options: Options) -> None:
        # It blocks one connection a waiter, so there must be enough of them.
        self._redis = Redis.from_url(url, max_connections=4000)
        self._ttl_s = int(options.get("ttl_s", 10))

    def take(self, name: str) -> redis_lock.Lock:
        lock = redis_lock.Lock(self._redis, name, expire=self._ttl_s)
        lock.acquire()
        return lock

    def give(self, held: redis_lock.Lock) -> None:
        held.release()

    async def acquire(self, name: str) -> redis_lock.Lock:
        return self.take(name)

    async def release(self, held: redis_lock.Lock) -> None:
        held.release()

    async def close(self) -> None:
        self._redis.close()
