"""arq."""

from __future__ import annotations

import asyncio
from typing import Any

from arq import create_pool  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]
from arq.worker import Worker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload


async def handle(_context: dict[str, Any], payload: Payload) -> None:
    COUNTER.note(payload)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.settings = RedisSettings.from_dsn(url)
        self.options = dict(options)
        self.pool = await create_pool(self.settings)

    async def enqueue(self, payload: Payload) -> object:
        return await self.pool.enqueue_job("handle", payload)

    async def work(self) -> None:
        options: dict[str, Any] = {}
        if "concurrency" in self.options:
            options = {
                "max_jobs": int(self.options["concurrency"]),
                "poll_delay": self.options["poll_s"],
                "keep_result": 0,
            }
        self.worker = Worker(
            [handle], redis_settings=self.settings, handle_signals=False, **options
        )
        self.working = asyncio.ensure_future(self.worker.async_run())

    async def close(self) -> None:
        await self.pool.aclose()
