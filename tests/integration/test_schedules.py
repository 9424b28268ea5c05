"""Schedules that several processes look after, some of which are killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from tests.servers import Server

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.queue.redis.keys import QueueKeys

SCRIPT = Path(__file__).with_name("schedule_process.py")
SCHEDULES = 25


async def a_keeper(server: Server, namespace: str) -> Process:
    keeper = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), server.url, namespace, str(SCHEDULES), stdout=PIPE
    )
    assert await keeper.stdout.readline() == b"ready\n"
    return keeper


async def test_each_firing_is_one_task_whoever_is_killed(
    private_server: Server, namespace: str
) -> None:
    """Three keepers, killed one after the other, in whatever they do just then."""
    async with AsyncExitStack() as stack:
        keepers = await asyncio.gather(
            *(a_keeper(private_server, namespace) for _ in range(3))
        )
        for keeper in keepers:
            stack.callback(lambda each=keeper: each.returncode is None and each.kill())
        for keeper in keepers:
            await asyncio.sleep(0.6)
            keeper.kill()
            await keeper.wait()

    async with (
        Backend(private_server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig()) as queue,
    ):
        records = await queue.schedules()
        key = QueueKeys(backend.wire.keys, "default").prefix + "r1"
        lane = await backend.wire.calls.command("LRANGE", key, 0, -1)
        found = Counter(task.decode() for task in lane)

    assert len(records) == SCHEDULES
    expected = Counter(
        record.schedule.firing_id(record.fired_at - n)
        for record in records
        for n in range(record.fired)
    )
    assert found == expected
    assert min(record.fired for record in records) >= 1
    assert all(record.due == record.fired_at + 1.0 for record in records)
