"""Guards in real workers: slots across processes, rates across workers, and poison."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration import queue_handlers as handlers
from tests.integration.test_queue_faults import CONFIG, TERMS
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import TaskFailed
from quorate.queue import decide
from quorate.queue.events import WorkerLost
from quorate.queue.guards import Rate, Slot, Unique
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, Task, TaskPriority
from quorate.queue.ports import Parcel
from quorate.queue.views import QueueStats
from quorate.resilience.backoff import constant
from quorate.testing.heard import Heard

QUICK = QueueConfig(concurrency=16, poll_s=30.0)


@asynccontextmanager
async def workers(
    url: str, namespace: str, handler, count: int, config: QueueConfig = QUICK
) -> AsyncIterator[list[QueueManager]]:
    """So many workers, each with a session of its own."""
    async with AsyncExitStack() as stack:
        managers = []
        for _ in range(count):
            backend = Backend(url, namespace=namespace)
            await stack.enter_async_context(backend)
            manager = QueueManager(backend, config)
            await stack.enter_async_context(manager)
            await manager.register_task_handler("work", handler)
            managers.append(manager)
        yield managers


async def done(managers: list[QueueManager], count: int, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while sum(each.counts().done_total for each in managers) < count:
            await asyncio.sleep(0.005)


async def test_tasks_of_one_key_never_run_together(
    server: Server, namespace: str
) -> None:
    running: Counter[str] = Counter()
    tokens: dict[str, list[int]] = {}
    most: Counter[str] = Counter()

    async def work(key: str, context) -> None:
        running[key] += 1
        most[key] = max(most[key], running[key])
        tokens.setdefault(key, []).append(context.token)
        await asyncio.sleep(0.001)
        running[key] -= 1

    async with workers(server.url, namespace, work, 2) as managers:
        await managers[0].enqueue_many(
            [
                Task(name="work", payload=f"k{n % 8}", slot=Slot(f"k{n % 8}"))
                for n in range(400)
            ]
        )
        for manager in managers:
            await manager.start_workers(in_process=True)
        await done(managers, 400)

    assert set(most.values()) == {1}
    assert all(each == sorted(each) for each in tokens.values())


async def test_slots_of_a_killed_worker_go_on_and_never_overlap(
    private_server: Server,
    heard: Heard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(handlers.HISTORY, str(tmp_path))
    async with (
        Backend(
            private_server.url, namespace="slots", terms=TERMS, emit=heard.emit
        ) as backend,
        QueueManager(backend, CONFIG) as queue,
    ):
        await queue.register_task_handler("in_slot", handlers.in_slot)
        await queue.enqueue_many(
            [
                Task(name="in_slot", payload=f"k{n % 8}", slot=Slot(f"k{n % 8}"))
                for n in range(400)
            ]
        )
        await queue.start_workers(2)
        await lines_in(tmp_path, 300)
        victim = queue.worker_pids[0]
        os.kill(victim, signal.SIGKILL)
        await heard(WorkerLost, pid=victim)
        async with asyncio.timeout(20):
            while (stats := await queue.stats()).parked or not is_empty(stats):
                await asyncio.sleep(0.02)

    overlaps, ended, disorder = judged(tmp_path)
    assert overlaps == []
    assert disorder == []
    assert ended >= 400


def is_empty(stats: QueueStats) -> bool:
    return not (stats.depth or stats.scheduled or sum(stats.running.values()))


async def lines_in(folder: Path, wanted: int) -> None:
    async with asyncio.timeout(20):
        while sum(len(f.read_text().splitlines()) for f in folder.iterdir()) < wanted:
            await asyncio.sleep(0.01)


def judged(folder: Path) -> tuple[list[str], int, list[str]]:
    """Who had a slot while another had it; how many ended; whose token went back.

    Who was killed has no end: he had it for a moment at least.
    """
    holds: dict[str, dict[int, list[float]]] = {}
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            at, _, slot, token = line.split()
            holds.setdefault(slot, {}).setdefault(int(token), []).append(float(at))
    overlaps, disorder, ended = [], [], 0
    for slot, by_token in holds.items():
        ended += sum(len(times) == 2 for times in by_token.values())
        in_time = sorted(by_token.items(), key=lambda hold: hold[1][0])
        for (first, before), (second, after) in itertools.pairwise(in_time):
            if after[0] < before[-1]:
                overlaps.append(f"{slot}: {first} and {second}")
            if second < first:
                disorder.append(f"{slot}: {first} before {second}")
    return overlaps, ended, disorder


async def test_who_waits_for_a_slot_costs_nothing_and_keeps_nobody_waiting(
    private_server: Server, namespace: str
) -> None:
    server, gate = private_server, asyncio.Event()

    async def work(payload: str) -> None:
        if payload == "first":
            await gate.wait()

    async with workers(server.url, namespace, work, 1) as (queue,):
        await queue.enqueue_task("work", "first", slot=Slot("k"))
        await queue.start_workers(in_process=True)
        await queue.enqueue_many(
            [Task(name="work", payload="", slot=Slot("k")) for _ in range(100)]
        )
        await queue.result(await queue.enqueue_task("work", ""), wait_s=5)
        await asyncio.sleep(0.05)
        before = queue.counts().exchanges_total
        server.reset_stats()

        await asyncio.sleep(0.4)

        assert queue.counts().exchanges_total == before
        assert server.commandstats().get("evalsha", 0) <= 1
        gate.set()
        await done([queue], 102)


async def test_a_rate_holds_across_workers_and_is_used(
    server: Server, namespace: str
) -> None:
    begun: list[float] = []
    rate = Rate(200, burst=10)

    async def work(_payload: None) -> None:
        begun.append(time.monotonic())

    async with workers(server.url, namespace, work, 2) as managers:
        await managers[0].set_rate(rate, task="work")
        await managers[0].enqueue_many([Task(name="work") for _ in range(110)])
        for manager in managers:
            await manager.start_workers(in_process=True)
        await done(managers, 110)

    # One who is told to begin begins a little later: never more than the rate allows.
    for n, at in enumerate(begun):
        assert n + 1 <= 10 + (at - begun[0] + 0.25) * 200
    assert begun[-1] - begun[0] >= 0.4


async def test_a_queue_has_a_rate_of_its_own(server: Server, namespace: str) -> None:
    begun: list[float] = []

    async def work(_payload: None) -> None:
        begun.append(time.monotonic())

    async with workers(server.url, namespace, work, 2) as managers:
        await managers[0].set_rate(Rate(200, burst=10))
        await managers[0].enqueue_many([Task(name="work") for _ in range(110)])
        for manager in managers:
            await manager.start_workers(in_process=True)
        await done(managers, 110)

    assert begun[-1] - begun[0] >= 0.4


async def test_lanes_share_what_a_rate_allows(server: Server, namespace: str) -> None:
    begun: list[TaskPriority] = []

    async def work(_payload: None, context) -> None:
        begun.append(context.priority)

    async with workers(server.url, namespace, work, 1) as (queue,):
        await queue.set_rate(Rate(1000, burst=20))
        await queue.enqueue_many(
            [
                Task(name="work", priority=priority)
                for priority in (
                    TaskPriority.LOW,
                    TaskPriority.NORMAL,
                    TaskPriority.HIGH,
                )
                for _ in range(300)
            ]
        )
        await queue.start_workers(in_process=True)
        await done([queue], 210)

    shares = Counter(begun[:210])
    assert 130 <= shares[TaskPriority.HIGH] <= 185
    assert 25 <= shares[TaskPriority.NORMAL] <= 60
    assert 5 <= shares[TaskPriority.LOW] <= 25


async def test_of_many_who_ask_at_once_one_is_put_in(
    server: Server, namespace: str
) -> None:
    async def work(_payload: int) -> None:
        return None

    async with workers(server.url, namespace, work, 4) as managers:
        ids = await asyncio.gather(
            *(
                managers[n % 4].enqueue_task("work", n, unique=Unique("k"))
                for n in range(400)
            )
        )

        assert len(set(ids)) == 1
        assert sum(manager.counts().enqueued_total for manager in managers) == 1
        await managers[0].start_workers(in_process=True)
        await managers[0].result(ids[0], wait_s=5)
        assert await managers[1].enqueue_task("work", 1, unique=Unique("k")) != ids[0]


async def test_what_nobody_reads_or_knows_is_set_aside_with_the_reason(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "BOUNCES", constant(0.01))

    async def work(_payload: None) -> None:
        return None

    async with workers(server.url, namespace, work, 1) as (queue,):
        broker = queue.place().broker
        await broker.enqueue(
            [
                Parcel("scribble", 1, 0.0, b"\xff\x00"),
                Parcel("empty", 1, 0.0, b""),
                Parcel("guarded", 1, 0.0, b"!s|1|0|k"),
                Parcel("garbled", 1, 0.0, b'!s|x|\n{"v":1,"n":"work"}\n{'),
            ]
        )
        await queue.enqueue_task("nobody knows", task_id="unknown")
        await queue.start_workers(in_process=True)
        async with asyncio.timeout(10):
            while len(letters := await queue.dead_letters.list()) < 5:
                await asyncio.sleep(0.01)

    assert {letter.id: letter.reason for letter in letters} == {
        "scribble": "undecodable",
        "empty": "undecodable",
        "guarded": "undecodable",
        "garbled": "undecodable",
        "unknown": "unknown_task",
    }


async def test_of_31_neighbours_of_a_poison_task_none_is_set_aside(
    private_server: Server,
    heard: Heard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them run when it takes the worker along, and each has a crash for it."""
    monkeypatch.setenv(handlers.HISTORY, str(tmp_path))
    config = replace(CONFIG, concurrency=36, reserved_for_high=0.0)
    async with (
        Backend(
            private_server.url, namespace="poison", terms=TERMS, emit=heard.emit
        ) as backend,
        QueueManager(backend, config) as queue,
    ):
        await queue.register_task_handler("neighbour", handlers.neighbour)
        await queue.register_task_handler("poison", handlers.poison)
        neighbours = await queue.enqueue_many(
            [Task(name="neighbour") for _ in range(31)]
        )
        poison = await queue.enqueue_task("poison", 31)
        await queue.start_workers(1)

        with pytest.raises(TaskFailed, match="poison"):
            await queue.result(poison, wait_s=30)
        results = [await queue.result(each, wait_s=30) for each in neighbours]
        letters = await queue.dead_letters.list()

    assert [letter.id for letter in letters] == [poison]
    assert results == ["done"] * 31
    assert heard.count(WorkerLost, exit_code=7) == 3
