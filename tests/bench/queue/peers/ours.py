"""Quorate's queue, with everything that is on by default."""

from __future__ import annotations

from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig


async def handle(payload: Payload) -> None:
    COUNTER.note(payload)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.backend = Backend(url, namespace="bench")
        await self.backend.start()
        config = QueueConfig()
        if "concurrency" in options:
            config = QueueConfig(concurrency=int(options["concurrency"]))
        self.queue = QueueManager(self.backend, config)
        await self.queue.start()
        await self.queue.register_task_handler("handle", handle)

    async def enqueue(self, payload: Payload) -> object:
        return await self.queue.enqueue_task("handle", payload)

    async def enqueue_many(self, payloads: list[Payload]) -> object:
        return await self.queue.enqueue_each("handle", payloads)

    async def work(self) -> None:
        await self.queue.start_workers(in_process=True)

    async def close(self) -> None:
        await self.queue.stop()
        await self.backend.stop()
