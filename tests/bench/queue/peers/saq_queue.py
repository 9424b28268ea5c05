"""saq."""

from __future__ import annotations

import asyncio
from typing import Any

from saq import Queue, Worker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload


async def handle(_context: dict[str, Any], *, payload: Payload) -> None:
    COUNTER.note(payload)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        self.queue = Queue.from_url(url)
        await self.queue.connect()

    async def enqueue(self, payload: Payload) -> object:
        more: dict[str, Any] = {"ttl": -1} if "concurrency" in self.options else {}
        return await self.queue.enqueue("handle", payload=payload, **more)

    async def work(self) -> None:
        options: dict[str, Any] = {}
        if "concurrency" in self.options:
            options = {"concurrency": int(self.options["concurrency"])}
        self.worker = Worker(self.queue, [handle], **options)
        self.worker.SIGNALS = []
        self.working = asyncio.ensure_future(self.worker.start())

    async def close(self) -> None:
        await self.queue.disconnect()
