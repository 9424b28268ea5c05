"""Tasks on RabbitMQ survive their workers, the broker and the connection.

Real processes, real signals, a real broker; every run is judged by a checker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.rabbit_place import delete, names_of
from tests.integration import queue_handlers as handlers
from tests.integration.test_queue_faults import CONFIG, TERMS, Run, until
from tests.rabbit_server import RabbitServer
from tests.servers import Server

from quorate import connect
from quorate.backend import Backend
from quorate.core.errors import (
    MissingCapability,
    OutcomeUnknown,
    StoreUnavailable,
    TaskFailed,
)
from quorate.core.lifecycle import running
from quorate.queue.door import get_queue_manager
from quorate.queue.events import TaskDied, WorkerLost
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, Task, TaskState
from quorate.settings.load import load_settings
from quorate.testing.heard import Heard
from quorate.testing.proxy import FaultProxy
from quorate.wire.rabbit_line import LineBroken

RECOVERED_WITHIN_S = 10.0


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every process of the story writes down what it does."""
    folder = tmp_path / "history"
    folder.mkdir()
    monkeypatch.setenv(handlers.HISTORY, str(folder))
    handlers.recorder.cache_clear()
    return folder


@asynccontextmanager
async def a_queue(
    at: str | FaultProxy,
    heard: Heard,
    namespace: str,
    config: QueueConfig = CONFIG,
    state: str = "",
) -> AsyncIterator[QueueManager]:
    """On RabbitMQ alone, or with its state in the Redis at `state`."""
    url = at if isinstance(at, str) else at.url
    urls = [state, url] if state else [url]
    backends = [
        Backend(each, namespace=namespace, terms=TERMS, emit=heard.emit)
        for each in urls
    ]
    for backend in backends:
        await backend.start()
    transport = backends[1] if state else None
    manager = QueueManager(backends[0], config, transport=transport)
    manager.owns_backend()
    async with manager as queue:
        for name in ("note", "sleeper", "stubborn", "poison"):
            await queue.register_task_handler(name, getattr(handlers, name))
        yield queue
    await delete(url, names_of(queue._queues))


def everything_is_done(run: Run, count: int):
    async def done() -> bool:
        return await run.completed() >= count

    return done


# -- RabbitMQ alone --------------------------------------------------------------------


async def test_kill_9_of_workers_loses_nothing(
    rabbit_url: str, heard: Heard, history: Path, namespace: str
) -> None:
    async with a_queue(rabbit_url, heard, namespace) as queue:
        run = Run(queue, history)
        await run.puts(600)
        await queue.start_workers(2)
        for kill in (1, 2):
            await until(everything_is_done(run, kill * 150))
            victim = queue.worker_pids[0]
            os.kill(victim, signal.SIGKILL)
            await heard(WorkerLost, pid=victim)

        await until(everything_is_done(run, 600))

    account = run.account()
    assert account.verdict(most_duplicates=2 * CONFIG.concurrency).ruling == "valid"
    assert account.done == 600


async def test_a_restart_of_the_broker_loses_nothing(
    rabbit_server: RabbitServer, heard: Heard, history: Path, namespace: str
) -> None:
    async with a_queue(rabbit_server.url, heard, namespace) as queue:
        run = Run(queue, history)
        await run.puts(400)
        await queue.start_workers(in_process=True)
        await until(everything_is_done(run, 100))

        await rabbit_server.restart()
        back_at = time.monotonic()
        again: list[str] = []
        while len(again) < 20:
            task = Task(name="note", payload={"work_s": 0.0}, id=f"after{len(again)}")
            operation = run.recorder.invoke("enqueue", {"id": task.id})
            try:
                await queue.carry(task)
            except (StoreUnavailable, OutcomeUnknown):
                continue
            operation.ok()
            again.append(task.id)
        await until(everything_is_done(run, 420))
        took_s = time.monotonic() - back_at

    account = run.account()
    assert account.verdict(most_duplicates=2 * CONFIG.concurrency).ruling == "valid"
    assert heard.count(LineBroken) >= 2
    assert took_s <= RECOVERED_WITHIN_S


async def test_cut_connections_lose_nothing(
    rabbit_url: str, heard: Heard, history: Path, namespace: str
) -> None:
    proxy = FaultProxy(rabbit_url)
    async with (
        running(proxy),
        a_queue(proxy, heard, namespace) as queue,
    ):
        run = Run(queue, history)
        await queue.start_workers(in_process=True)
        cuts = 12
        for cut in range(cuts):
            tasks = [
                Task(name="note", payload={"work_s": 0.002}, id=f"t{cut}.{n}")
                for n in range(25)
            ]
            operations = [run.recorder.invoke("enqueue", {"id": t.id}) for t in tasks]
            putting = asyncio.ensure_future(queue.enqueue_many(tasks))
            if cut % 2:
                await asyncio.sleep(0)
            else:
                await until(everything_is_done(run, 25 * cut + 5))
            proxy.cut()
            await putting  # it sends again what was not confirmed
            for operation in operations:
                operation.ok()
        await until(everything_is_done(run, 25 * cuts))

    account = run.account()
    assert account.verdict(most_duplicates=cuts * CONFIG.concurrency).ruling == "valid"
    assert heard.count(LineBroken) >= cuts
    assert heard.count(TaskDied) == 0


async def test_a_task_that_kills_its_workers_is_set_aside_and_its_neighbours_are_not(
    rabbit_url: str, heard: Heard, history: Path, namespace: str
) -> None:
    config = replace(CONFIG, crash_budget=2)
    async with a_queue(rabbit_url, heard, namespace, config) as queue:
        run = Run(queue, history)
        poison = await queue.enqueue_task("poison", 0)
        await run.puts(15, work_s=0.1)
        await queue.start_workers(1)

        await until(everything_is_done(run, 15))

        async def is_dead() -> bool:
            return bool(await queue.dead_letters.list())

        await until(is_dead)
        letters = await queue.dead_letters.list()

    assert [(letter.id, letter.reason) for letter in letters] == [(poison, "poison")]
    assert heard.count(WorkerLost, exit_code=7) == config.crash_budget + 1


async def test_a_worker_that_stops_gives_back_what_it_has_not_done(
    rabbit_url: str, heard: Heard, history: Path, namespace: str
) -> None:
    config = replace(CONFIG, grace_s=0.3)
    async with a_queue(rabbit_url, heard, namespace, config) as queue:
        run = Run(queue, history)
        await run.puts(60, work_s=0.1)
        await queue.enqueue_task("sleeper", 30.0, task_id="slow")
        await queue.start_workers(in_process=True)
        await until(everything_is_done(run, 10))

        await queue.stop_workers()
        stats = await queue.stats()

    done = run.account().done
    assert stats.depth == 61 - done
    assert sum(stats.running.values()) == 0
    assert queue.counts().dead_total == 0


@pytest.mark.parametrize("keeps_state", [False, True])
async def test_a_node_and_its_workers_may_have_their_queue_on_rabbitmq(
    keeps_state: bool,
    rabbit_url: str,
    private_server: Server,
    history: Path,
    namespace: str,
) -> None:
    settings = load_settings(environ={"QUORATE_NAMESPACE": namespace})
    redis = private_server.url
    state = redis if keeps_state else None
    node = connect(redis, queue=rabbit_url, queue_state=state, settings=settings)
    async with node:
        queue, run = node.queue, Run(node.queue, history)
        await queue.register_task_handler("note", handlers.note)
        await run.puts(3)
        await queue.start_workers(1)
        await until(everything_is_done(run, 3))

        if keeps_state:
            assert await queue.result("t0", wait_s=5) == queue.worker_pids[0]
        else:
            with pytest.raises(MissingCapability, match="alone cannot"):
                await queue.result("t0", queue="default")
        await queue.stop_workers()
        await delete(rabbit_url, names_of(queue._queues))


# -- RabbitMQ and Redis ----------------------------------------------------------------


async def test_with_a_redis_beside_it_results_and_cancelling_work_and_tasks_may_be_long(
    rabbit_url: str, private_server, heard: Heard, history: Path, namespace: str
) -> None:
    config = replace(CONFIG, attempt_timeout_s=7200.0)
    state = private_server.url
    async with a_queue(rabbit_url, heard, namespace, config, state) as queue:
        pending = await queue.enqueue_task("note", {"work_s": 0.0})
        assert await queue.state(pending) is TaskState.QUEUED
        unwanted = await queue.enqueue_task("note", {"work_s": 0.0})
        assert await queue.cancel(unwanted) is TaskState.CANCELLED
        await queue.start_workers(1)

        (pid,) = queue.worker_pids
        assert await queue.result(pending, wait_s=10) == pid
        with pytest.raises(TaskFailed, match="cancelled"):
            await queue.result(unwanted)
        slow = await queue.enqueue_task("sleeper", 60.0)

        async def runs() -> bool:
            return await queue.state(slow) is TaskState.RUNNING

        await until(runs)
        assert "It runs in" in (await queue.explain(slow)).why
        assert await queue.cancel(slow) is TaskState.RUNNING
        with pytest.raises(TaskFailed, match="cancelled"):
            await queue.result(slow, wait_s=10)


async def test_with_a_redis_beside_it_kill_9_loses_nothing(
    rabbit_url: str, private_server, heard: Heard, history: Path, namespace: str
) -> None:
    state = private_server.url
    async with a_queue(rabbit_url, heard, namespace, state=state) as queue:
        run = Run(queue, history)
        await run.puts(600)
        await queue.start_workers(2)
        for kill in (1, 2):
            await until(everything_is_done(run, kill * 150))
            victim = queue.worker_pids[0]
            os.kill(victim, signal.SIGKILL)
            await heard(WorkerLost, pid=victim)

        await until(everything_is_done(run, 600))
        await until(run.over)

    account = run.account()
    assert account.verdict(most_duplicates=2 * CONFIG.concurrency).ruling == "valid"
    assert account.done == 600


async def test_with_a_redis_beside_it_a_cut_connection_interrupts_nobody(
    rabbit_url: str, private_server, heard: Heard, history: Path, namespace: str
) -> None:
    state = private_server.url
    proxy = FaultProxy(rabbit_url)
    async with (
        running(proxy),
        a_queue(proxy, heard, namespace, state=state) as queue,
    ):
        run = Run(queue, history)
        await queue.start_workers(in_process=True)
        slow = await queue.enqueue_task("sleeper", 1.0)

        async def runs() -> bool:
            return await queue.state(slow) is TaskState.RUNNING

        await until(runs)
        wire = queue._queues._transport
        for cut in range(1, 4):
            proxy.cut()
            async with asyncio.timeout(RECOVERED_WITHIN_S):
                while min(wire.consuming.generation, wire.publishing.generation) <= cut:
                    await asyncio.sleep(0.01)
        assert await queue.result(slow, wait_s=5) is None
        await run.puts(50)
        await until(everything_is_done(run, 50))

    account = run.account()
    assert account.duplicates == 0
    assert account.verdict().ruling == "valid"
    assert queue.counts().stale_total == 0


async def test_the_door_opens_both(
    rabbit_url: str, private_server, heard: Heard
) -> None:
    manager = await get_queue_manager(
        rabbit_url, state=private_server.url, emit=heard.emit
    )
    async with manager as queue:
        seen = []
        await queue.register_task_handler("t", seen.append)
        await queue.start_workers(in_process=True)
        task = await queue.enqueue_task("t", 7)

        assert await queue.result(task, wait_s=5) is None
        assert seen == [7]
