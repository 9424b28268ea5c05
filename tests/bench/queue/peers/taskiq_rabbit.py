"""taskiq on RabbitMQ: taskiq-aio-pika, which waits for confirms by default."""

from __future__ import annotations

import asyncio
from typing import Any

from taskiq.receiver import Receiver  # type: ignore[import-not-found]
from taskiq_aio_pika import AioPikaBroker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload

AS_ITS_COMMAND = 100
"""`taskiq worker` lets so many tasks run at once unless told otherwise."""


async def handle(payload: dict[str, Any]) -> None:
    COUNTER.note(payload)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        tuned = {"qos": int(options["prefetch"])} if "prefetch" in options else {}
        self.broker = AioPikaBroker(url, **tuned)
        self.task = self.broker.task(task_name="handle")(handle)
        await self.broker.startup()

    async def enqueue(self, payload: Payload) -> object:
        return await self.task.kiq(payload)

    async def work(self) -> None:
        self.broker.is_worker_process = True
        await self.broker.startup()
        receiver = Receiver(
            self.broker, max_async_tasks=AS_ITS_COMMAND, run_startup=False
        )
        self.finish = asyncio.Event()
        self.working = asyncio.ensure_future(receiver.listen(self.finish))

    async def close(self) -> None:
        await self.broker.shutdown()
