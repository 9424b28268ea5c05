"""The lock of redis-py's asyncio client, and the floors through that client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from tests.bench.locks.peers.port import Options


class Peer:
    async def open(self, url: str, options: Options) -> None:
        pool = int(options.get("pool", 0)) or None
        self._redis = Redis.from_url(url, max_connections=pool)
        self._ttl_s = options.get("ttl_s", 10.0)
        self._sleep_s = options.get("sleep_s", 0.1)
        self._sha = await self._redis.script_load("return 1")

    async def acquire(self, name: str) -> Lock:
        lock = self._redis.lock(name, timeout=self._ttl_s, sleep=self._sleep_s)
        await lock.acquire()
        return lock

    async def release(self, held: Lock) -> None:
        await held.release()

    async def close(self) -> None:
        await self._redis.aclose()

    async def bare(self) -> object:
        return await self._redis.evalsha(self._sha, 0)

    async def publish(self, channel: str, body: str) -> object:
        return await self._redis.publish(channel, body)

    async def subscribe(self, channel: str, hear: Callable[[bytes], None]) -> None:
        messages = self._redis.pubsub()
        await messages.subscribe(channel)

        async def listen() -> None:
            async for message in messages.listen():
                if message["type"] == "message":
                    hear(message["data"])

        self._listening = asyncio.create_task(listen())
