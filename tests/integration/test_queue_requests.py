"""What the queue costs the server: counts are exact, so they are held here.

A request is a command that a client sends; an inner call is one made inside a script.
The saturated limit counts both together, the idle limit counts requests.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.servers import Server

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, Task

SENT = ("evalsha", "eval", "ping", "subscribe", "info", "script|load")
"""What a worker sends; everything else that it causes happens inside scripts."""


async def _nothing(_payload: None) -> None:
    return None


async def _done(queue: QueueManager, count: int, within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while queue.counts().done_total < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("concurrency", "most"), [(64, 0.5), (256, 0.25)])
async def test_a_saturated_worker_costs_half_a_command_a_task(
    server: Server, namespace: str, concurrency: int, most: float
) -> None:
    count = 10_000
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig(concurrency=concurrency)) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.enqueue_many([Task(name="nothing") for _ in range(count)])
        server.reset_stats()

        await queue.start_workers(in_process=True)
        await _done(queue, count)
        stats = server.commandstats()

    assert sum(stats.values()) / count <= most
    assert sum(stats.get(name, 0) for name in SENT) / count <= 0.05


async def test_a_crowd_of_producers_shares_calls(
    server: Server, namespace: str
) -> None:
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig()) as queue,
    ):
        await queue.enqueue_task("nothing")
        server.reset_stats()

        await asyncio.gather(*(queue.enqueue_task("nothing") for _ in range(256)))

        assert server.commandstats()["evalsha"] == 1


@pytest.mark.slow
async def test_an_idle_worker_sends_less_than_one_request_a_second(
    private_server: Server, namespace: str
) -> None:
    server = private_server
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig()) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.start_workers(in_process=True)
        await queue.result(await queue.enqueue_task("nothing"))
        await asyncio.sleep(0.2)
        server.reset_stats()

        began = time.monotonic()
        await asyncio.sleep(8.0)
        stats = server.commandstats()
        passed_s = time.monotonic() - began

    assert sum(stats.get(name, 0) for name in SENT) - 1 <= passed_s


async def test_an_idle_worker_is_woken_and_does_not_poll(
    server: Server, namespace: str
) -> None:
    """It would look again after an hour; the message brings it within milliseconds."""
    config = QueueConfig(poll_s=3600.0)
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, config) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.start_workers(in_process=True)
        for _ in range(20):
            task = await queue.enqueue_task("nothing")
            await queue.result(task, wait_s=2.0)
        later = await queue.enqueue_task("nothing", delay_s=0.1)
        await queue.result(later, wait_s=2.0)
