"""A change of the configuration reaches worker processes that run, within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.integration import queue_handlers as handlers
from tests.servers import Server

from quorate.node import connect
from quorate.queue import Task
from quorate.settings import load_settings

WITHIN_S = 2.0
CALM = {
    "QUORATE_QUEUE__GRACE_S": "0",
    "QUORATE_QUEUE__CONCURRENCY": "2",
    "QUORATE_QUEUE__RESERVED_FOR_HIGH": "0",
}


async def until(holds: Callable[[], bool], within_s: float = WITHIN_S) -> float:
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_concurrency_and_pause_are_changed_in_worker_processes(
    private_server: Server, namespace: str
) -> None:
    settings = load_settings(environ=CALM | {"QUORATE_NAMESPACE": namespace})
    async with connect(private_server.url, settings=settings) as node:
        await node.queue.register_task_handler("sleeper", handlers.sleeper)
        await node.queue.start_workers(2)
        first = [await node.queue.enqueue_task("sleeper", 0.5) for _ in range(4)]
        await node.queue.enqueue_many(
            [Task(name="sleeper", payload=60.0) for _ in range(40)]
        )

        def running() -> int:
            return node.queue.counts().running

        await until(lambda: running() == 4, 10.0)
        for task in first:
            await node.queue.result(task)
        await node.config.set("queue.concurrency", 6)
        # A child tells its counts once a second.
        await until(lambda: running() == 12)

        await node.config.set("queue.paused", True)
        await node.config.set("queue.concurrency", 16)
        await asyncio.sleep(1.2)
        assert running() == 12
        await node.config.set("queue.paused", False)
        await until(lambda: running() == 32)
