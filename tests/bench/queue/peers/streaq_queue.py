"""streaq."""

from __future__ import annotations

import asyncio
from typing import Any

from streaq import Worker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        settings: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if "concurrency" in options:
            settings = {"concurrency": int(options["concurrency"])}
            settings["prefetch"] = int(options["prefetch"])
            more = {"ttl": 0}
        self.worker = Worker(redis_url=url, handle_signals=False, **settings)

        async def handle(payload: Payload) -> None:
            COUNTER.note(payload)

        self.handle = self.worker.task(name="handle", **more)(handle)
        self.is_open = False

    async def _opened(self) -> None:
        """A producer opens it; a worker does so by itself, and must not twice."""
        if not self.is_open:
            self.is_open = True
            await self.worker.__aenter__()

    async def enqueue(self, payload: Payload) -> object:
        await self._opened()
        return await self.handle.enqueue(payload)

    async def enqueue_many(self, payloads: list[Payload]) -> object:
        await self._opened()
        tasks = [self.handle.enqueue(payload) for payload in payloads]
        return await self.worker.enqueue_many(tasks)

    async def work(self) -> None:
        self.working = asyncio.ensure_future(self.worker.run_async())

    async def close(self) -> None:
        return None
