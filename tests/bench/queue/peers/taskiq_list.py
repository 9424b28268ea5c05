"""taskiq with its list broker: what was fetched by a worker that dies is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from taskiq.receiver import Receiver  # type: ignore[import-not-found]
from taskiq_redis import ListQueueBroker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload

AS_ITS_COMMAND = 100
"""`taskiq worker` lets so many tasks run at once unless told otherwise."""


async def handle(payload: dict[str, Any]) -> None:
    COUNTER.note(payload)


class Peer:
    broker_class: Any = ListQueueBroker
    broker_options: dict[str, Any] = {}  # noqa: RUF012

    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        self.broker = self.broker_class(url, **self.broker_options)
        self.task = self.broker.task(task_name="handle")(handle)
        await self.broker.startup()

    async def enqueue(self, payload: Payload) -> object:
        return await self.task.kiq(payload)

    async def work(self) -> None:
        self.broker.is_worker_process = True
        receiver = Receiver(
            self.broker,
            max_async_tasks=int(self.options.get("concurrency", AS_ITS_COMMAND)),
            max_prefetch=int(self.options.get("prefetch", 0)),
            run_startup=False,
        )
        self.finish = asyncio.Event()
        self.working = asyncio.ensure_future(receiver.listen(self.finish))

    async def close(self) -> None:
        await self.broker.shutdown()
