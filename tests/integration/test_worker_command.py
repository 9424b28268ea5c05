"""`quorate worker` as its user has it: started, killed at, told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integration import worker_tasks as tasks
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import TaskFailed
from quorate.lease.lease import LeaseTerms
from quorate.queue.events import TasksTakenBack
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, TaskState
from quorate.testing.heard import Heard

ROOT = Path(__file__).resolve().parents[2]
FOREVER_S = 60.0


class Command:
    """One run of the command, and what it wrote to its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict] = []

    async def hears(self, message: str, count: int = 1) -> list[dict]:
        """Wait until its log has so many lines of this kind."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while True:
                found = [each for each in self.said if each["message"] == message]
                if len(found) >= count:
                    return found
                line = await self.process.stderr.readline()
                assert line, f"it ended without {message}: {self.said}"
                if line.startswith(b"{"):
                    self.said.append(json.loads(line))

    async def ends(self, within_s: float) -> int:
        async with asyncio.timeout(within_s):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def quorate(
    url: str, namespace: str, *words: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Command]:
    environment = (
        os.environ
        | dict(environ or {})
        | {
            "QUORATE_NAMESPACE": namespace,
            "QUORATE_LOGGING__FORMAT": "json",
        }
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from quorate.cli.main import main; main()"),
        *("--url", url, "worker", "tests.integration.worker_tasks", *words),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def queue(private_server: Server, namespace: str) -> AsyncIterator[QueueManager]:
    backend = Backend(private_server.url, namespace=namespace)
    async with backend, QueueManager(backend, QueueConfig()) as queue:
        yield queue


async def until(holds: Callable[[], object], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.02)


async def running(queue: QueueManager) -> int:
    return sum((await queue.stats()).running.values())


async def test_a_killed_child_is_replaced_and_a_drain_loses_nothing(
    queue: QueueManager, private_server: Server, namespace: str
) -> None:
    words = ("--processes", "2", "--concurrency", "4", "--grace", "0.5")
    async with quorate(private_server.url, namespace, *words) as command:
        first = (await command.hears("worker.started", 2))[0]["pid"]
        slow = [await tasks.whoami(FOREVER_S) for _ in range(3)]
        stuck = [await tasks.block(FOREVER_S) for _ in range(2)]

        async def all_run() -> bool:
            return await running(queue) == 5

        await until(all_run)
        assert await queue.result(await tasks.whoami()) != os.getpid()
        began = time.monotonic()
        command.process.send_signal(signal.SIGTERM)
        code = await command.ends(within_s=10)
        took_s = time.monotonic() - began

    assert (code, took_s < 0.5 + 2.0) == (0, True), took_s
    told = [await queue.explain(task) for task in (*slow, *stuck)]
    assert {each.state for each in told} == {TaskState.QUEUED}
    assert {(each.attempt, each.crashes) for each in told} == {(1, 0)}
    assert await running(queue) == 0
    assert first


async def test_a_child_that_is_killed_is_replaced(
    queue: QueueManager, private_server: Server, namespace: str
) -> None:
    words = ("--processes", "1", "--queues", "default")
    async with quorate(private_server.url, namespace, *words) as command:
        (first,) = await command.hears("worker.started")
        task = await tasks.whoami(0.3)

        async def it_runs() -> bool:
            return await running(queue) == 1

        await until(it_runs)
        os.kill(first["pid"], signal.SIGKILL)
        killed_at = time.monotonic()

        await command.hears("tasks.taken_back")
        assert time.monotonic() - killed_at < 2.0
        assert await queue.result(task) not in (first["pid"], os.getpid())
        command.process.send_signal(signal.SIGINT)
        assert await command.ends(within_s=10) == 0


async def test_a_signal_to_everybody_drains_and_a_second_one_hurries(
    queue: QueueManager, private_server: Server, namespace: str
) -> None:
    words = ("--processes", "1", "--grace", str(FOREVER_S))
    async with quorate(private_server.url, namespace, *words) as command:
        (child,) = await command.hears("worker.started")
        quick, slow = await tasks.whoami(0.5), await tasks.whoami(FOREVER_S)

        async def both_run() -> bool:
            return await running(queue) == 2

        await until(both_run)
        os.kill(child["pid"], signal.SIGTERM)
        command.process.send_signal(signal.SIGTERM)

        assert await queue.result(quick) == child["pid"]
        assert await queue.state(slow) is TaskState.RUNNING
        began = time.monotonic()
        command.process.send_signal(signal.SIGTERM)
        assert await command.ends(within_s=10) == 0
        assert time.monotonic() - began < 2.5
        told = await queue.explain(slow)

    assert (told.state, told.attempt, told.crashes) == (TaskState.QUEUED, 1, 0)


async def test_what_cannot_be_imported_is_told_before_anything_starts(
    private_server: Server, namespace: str
) -> None:
    async with quorate(private_server.url, namespace, "no_such_module") as command:
        _, said = await command.process.communicate()

    assert command.process.returncode == 1
    assert b"No module named 'no_such_module'" in said
    assert b"worker.started" not in said


async def test_a_cpu_task_that_kills_its_process_leaves_worker_and_neighbours_alone(
    private_server: Server, namespace: str, heard: Heard
) -> None:
    config = QueueConfig(crash_budget=2)
    backend = Backend(private_server.url, namespace=namespace, emit=heard.emit)
    async with backend, QueueManager(backend, config) as queue:
        await queue.start_workers(in_process=True)
        bad, slow = await tasks.burst(), await tasks.whoami(0.3)
        burnt = await tasks.burn(1000)

        pid, total = await queue.result(burnt)
        assert (pid != os.getpid(), total) == (True, 332833500)
        assert await queue.result(slow) == os.getpid()
        with pytest.raises(TaskFailed, match="poison"):
            await queue.result(bad)
        letters = await queue.dead_letters.list()

    assert [(each.id, each.attempt) for each in letters] == [(bad, 1)]
    assert "exit code 7" in letters[0].error
    assert heard.count(TasksTakenBack) == 0


async def test_a_task_restarts_elsewhere_when_worker_and_supervisor_are_gone(
    private_server: Server, namespace: str
) -> None:
    """Nobody saw them die but the server: within the session's time and 1.5 s.

    With the default session of 15 s that is 16.5 s.
    """
    ttl_s = 1.5
    terms = LeaseTerms(ttl_s=ttl_s, renew_every_s=0.4, retry_every_s=0.1)
    sessions = {
        "QUORATE_SESSION__TTL_S": str(ttl_s),
        "QUORATE_SESSION__RENEW_EVERY_S": "0.4",
    }
    backend = Backend(private_server.url, namespace=namespace, terms=terms)
    async with (
        backend,
        QueueManager(backend, QueueConfig()) as queue,
        quorate(
            private_server.url, namespace, "--processes", "1", environ=sessions
        ) as command,
    ):
        (child,) = await command.hears("worker.started")
        task = await tasks.whoami(FOREVER_S)

        async def it_runs() -> bool:
            return f"-{child['pid']}-" in (await queue.explain(task)).why

        await until(it_runs)
        await queue.start_workers(in_process=True)
        command.process.kill()
        os.kill(child["pid"], signal.SIGKILL)
        killed_at = time.monotonic()

        async def it_runs_here() -> bool:
            return f"-{os.getpid()}-" in (await queue.explain(task)).why

        await until(it_runs_here)
        took_s = time.monotonic() - killed_at
        told = await queue.explain(task)
        await queue.cancel(task)

    assert took_s <= ttl_s + 1.5
    assert (told.attempt, told.crashes) == (1, 1)
