"""aioredlock, on aioredis 1.3. It gives up after three tries unless told otherwise."""

from __future__ import annotations

from aioredlock import Aioredlock, Lock  # type: ignore[import-not-found]
from tests.bench.locks.peers.port import Options

TRIES = 100_000


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self._locks = Aioredlock(
            [url],
            retry_count=TRIES,
            internal_lock_timeout=options.get("ttl_s", 10.0),
        )

    async def acquire(self, name: str) -> Lock:
        return await self._locks.lock(name)

    async def release(self, held: Lock) -> None:
        await self._locks.unlock(held)

    async def close(self) -> None:
        await self._locks.destroy()
