"""Lanes on a real server: weights that hold, a floor for the old, room for urgent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.servers import Server

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import LaneWeights, QueueConfig, Task, TaskPriority

HIGH, NORMAL, LOW = TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW


class Stage:
    """A worker, and the lanes of the tasks in the order in which they began."""

    def __init__(self, queue: QueueManager) -> None:
        self.queue = queue
        self.begun: list[TaskPriority] = []
        self.gate = asyncio.Event()

    async def note(self, _payload: None, context) -> None:
        self.begun.append(context.priority)

    async def wait(self, _payload: None, context) -> None:
        self.begun.append(context.priority)
        await self.gate.wait()

    async def puts(self, count: int, *lanes: TaskPriority, name: str = "note") -> None:
        for lane in lanes:
            await self.queue.enqueue_many(
                [Task(name=name, priority=lane) for _ in range(count)]
            )

    async def begins(self, count: int) -> Counter[TaskPriority]:
        """Work until so many have begun; how many of which lane these were."""
        if not self.queue.counts().exchanges_total:
            await self.queue.start_workers(in_process=True)
        async with asyncio.timeout(20):
            while len(self.begun) < count:
                await asyncio.sleep(0.002)
        return Counter(self.begun[:count])


@asynccontextmanager
async def a_stage(
    server: Server, namespace: str, config: QueueConfig
) -> AsyncIterator[Stage]:
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, config) as queue,
    ):
        stage = Stage(queue)
        await queue.register_task_handler("note", stage.note)
        await queue.register_task_handler("wait", stage.wait)
        yield stage
        stage.gate.set()


async def test_lanes_with_a_backlog_are_served_by_weight(
    server: Server, namespace: str
) -> None:
    async with a_stage(server, namespace, QueueConfig()) as stage:
        await stage.puts(4000, LOW, NORMAL, HIGH)

        shares = await stage.begins(4200)

    for lane, weight in ((HIGH, 16), (NORMAL, 4), (LOW, 1)):
        assert abs(shares[lane] - 200 * weight) <= 20 * weight


async def test_who_waits_too_long_gets_one_turn_in_eight(
    server: Server, namespace: str
) -> None:
    config = QueueConfig(weights=LaneWeights(1000, 1, 1), age_floor_s=0.2)
    async with a_stage(server, namespace, config) as stage:
        await stage.puts(2000, LOW, HIGH)
        await asyncio.sleep(0.25)

        await stage.begins(1850)

    # Ages are known from the first look on; what was claimed before is left out.
    shares = Counter(stage.begun[250:1850])
    assert 180 <= shares[LOW] <= 260, shares


async def test_strict_lanes_wait_for_those_above(
    server: Server, namespace: str
) -> None:
    async with a_stage(server, namespace, QueueConfig(strict=True)) as stage:
        await stage.puts(300, LOW, NORMAL, HIGH)

        await stage.begins(900)

    # Only the places kept for urgent tasks let others go before them.
    assert stage.begun == sorted(stage.begun, key=lambda priority: priority.lane)


async def test_an_urgent_task_begins_although_long_ones_fill_the_worker(
    server: Server, namespace: str
) -> None:
    config = QueueConfig(concurrency=10, reserved_for_high=0.1)
    async with a_stage(server, namespace, config) as stage:
        await stage.puts(5000, LOW, name="wait")
        await stage.begins(9)

        for _ in range(3):
            task = await stage.queue.enqueue_task("note", priority=HIGH)
            await stage.queue.result(task, wait_s=5)

        assert Counter(stage.begun) == {LOW: 9, HIGH: 3}
        await stage.queue.pause()
