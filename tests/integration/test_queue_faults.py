"""Tasks survive whatever happens to those who work on them, and to the server.

Real processes, real signals, a private server; every run is judged by a checker.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration import queue_handlers as handlers
from tests.servers import Server, StartServer

from quorate.backend import Backend
from quorate.core.clock import Chance
from quorate.core.errors import (
    MissingCapability,
    QueueError,
    StoreRefused,
)
from quorate.lease.lease import LeaseTerms
from quorate.queue.events import (
    CompletionRefused,
    QueueCutOff,
    QueueReached,
    TasksStranded,
    TasksTakenBack,
    WorkerLost,
    WorkerStalled,
    WorkerStarted,
)
from quorate.queue.lanes import Slots
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, Task, TaskState
from quorate.queue.patience import RetryPolicy
from quorate.queue.ports import Bell, Request
from quorate.queue.redis import broker
from quorate.resilience.backoff import constant
from quorate.testing.failpoints import VARIABLE
from quorate.testing.heard import Heard
from quorate.testing.history import Recorder, read_history
from quorate.testing.proxy import FaultProxy
from quorate.testing.total_queue import QueueTally, tally
from quorate.testing.toxics import LoseReply
from quorate.wire.scripts import Script

TERMS = LeaseTerms(ttl_s=1.5, renew_every_s=0.4, retry_every_s=0.1, max_stall_s=3.0)
CONCURRENCY = 16
CONFIG = QueueConfig(
    concurrency=CONCURRENCY,
    retry=RetryPolicy(3, constant(0.05)),
    poll_s=0.5,
    roll_call_s=60.0,
    grace_s=3.0,
    stall_warned_at_s=1.5,
    max_stall_s=3.0,
)


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
    url: str, heard: Heard, config: QueueConfig = CONFIG, namespace: str = "story"
) -> AsyncIterator[QueueManager]:
    backend = Backend(url, namespace=namespace, terms=TERMS, emit=heard.emit)
    async with backend, QueueManager(backend, config) as queue:
        for name in ("note", "sleeper", "stubborn", "poison", "stall"):
            await queue.register_task_handler(name, getattr(handlers, name))
        yield queue


class Run:
    """Tasks put in by the test, and the account of them at the end."""

    def __init__(self, queue: QueueManager, history: Path) -> None:
        self.queue = queue
        self.history = history
        self.recorder = Recorder(history, "producer")

    async def puts(self, count: int, work_s: float = 0.002) -> None:
        tasks = [
            Task(name="note", payload={"work_s": work_s}, id=f"t{number}")
            for number in range(count)
        ]
        operations = [
            self.recorder.invoke("enqueue", {"id": task.id}) for task in tasks
        ]
        await self.queue.enqueue_many(tasks)
        for operation in operations:
            operation.ok()

    async def completed(self) -> int:
        return len(
            {
                operation.args["id"]
                for operation in read_history(self.history).of("complete")
                if operation.is_known
            }
        )

    async def over(self) -> bool:
        stats = await self.queue.stats()
        return not (stats.depth or stats.scheduled or sum(stats.running.values()))

    def account(self) -> QueueTally:
        return tally(read_history(self.history).operations)


async def until(
    holds: Callable[[], Awaitable[bool]], within_s: float = 30.0, beat_s: float = 0.02
) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(beat_s)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


# -- the death of workers --------------------------------------------------------------


async def test_kill_9_of_workers_loses_nothing(
    private_server: Server, heard: Heard, history: Path
) -> None:
    chance, kills = Chance(42), 6
    async with a_queue(private_server.url, heard) as queue:
        run = Run(queue, history)
        await run.puts(2000)
        await queue.start_workers(2)

        for kill in range(1, kills + 1):
            wanted = kill * 2000 // (kills + 2)

            async def so_many(wanted: int = wanted) -> bool:
                return await run.completed() >= wanted

            await until(so_many)
            await until(lambda: _somebody_works(queue))
            victim = chance.choice(queue.worker_pids)
            os.kill(victim, signal.SIGKILL)
            await heard(WorkerLost, pid=victim)
        await until(run.over)

    account = run.account()
    assert account.verdict(most_duplicates=kills * CONCURRENCY).ruling == "valid"
    assert account.done == 2000
    assert heard.count(TasksStranded) == 0


async def _somebody_works(queue: QueueManager) -> bool:
    return bool(queue.worker_pids)


async def test_a_queue_that_pops_before_it_owns_loses_tasks_to_kill_9(
    private_server: Server, heard: Heard, history: Path
) -> None:
    """The story above goes red on the bug it is there for."""
    bug = "tests.integration.queue_handlers:pop_before_owning"
    async with a_queue(private_server.url, heard) as queue:
        run = Run(queue, history)
        await run.puts(200, work_s=0.05)
        await queue.start_workers(1, prepare=[bug])

        async def some_done() -> bool:
            return await run.completed() >= 20

        await until(some_done)
        os.kill(queue.worker_pids[0], signal.SIGKILL)
        await heard(WorkerLost)
        await until(lambda: _is_idle(queue, queue))
        with pytest.raises(TimeoutError):
            await until(run.over, within_s=1.5)

    account = run.account()
    assert account.verdict().ruling == "invalid"
    assert 0 < len(account.lost) <= CONCURRENCY


@pytest.mark.parametrize(
    "point", ["queue.after_claim_before_run", "queue.after_run_before_settle"]
)
async def test_death_between_claim_and_settlement_loses_nothing(
    point: str,
    private_server: Server,
    heard: Heard,
    history: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, f"{point}=kill@150")
    async with a_queue(private_server.url, heard) as queue:
        run = Run(queue, history)
        await run.puts(500)
        await queue.start_workers(2, prepare=["tests.integration.queue_handlers:arm"])

        await until(run.over)

    deaths = heard.count(WorkerLost)
    assert deaths >= 1
    account = run.account()
    assert account.verdict(most_duplicates=deaths * CONCURRENCY).ruling == "valid"
    assert account.done == 500


async def test_tasks_of_a_dead_child_run_again_within_two_seconds(
    private_server: Server, heard: Heard, history: Path
) -> None:
    async with a_queue(private_server.url, heard) as queue:
        await queue.start_workers(2)
        run = Run(queue, history)
        await run.puts(4, work_s=1.0)

        async def all_running() -> bool:
            return sum((await queue.stats()).running.values()) == 4

        await until(all_running)
        owners = await asyncio.gather(*(queue.explain(f"t{n}") for n in range(4)))
        victim = int(owners[0].why.split("-")[-2])
        killed_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)

        back = await heard(TasksTakenBack, within_s=2.0)
        assert time.monotonic() - killed_at < 2.0
        assert back.crashed == back.tasks >= 1
        assert victim not in [await queue.result(f"t{n}") for n in range(4)]


async def test_a_stalled_worker_is_killed_and_its_task_runs_again(
    private_server: Server, heard: Heard, history: Path
) -> None:
    async with a_queue(private_server.url, heard) as queue:
        await queue.start_workers(1)
        task = await queue.enqueue_task("stall", 60.0)

        stalled = await heard(WorkerStalled, within_s=15, killed=True)
        pid = await queue.result(task, wait_s=15)

    assert heard.count(WorkerStalled, killed=False) >= 1
    assert pid != stalled.pid
    assert heard.all(TasksTakenBack)[0].crashed == 1


async def test_a_worker_that_slept_past_its_session_completes_nothing(
    private_server: Server, heard: Heard, history: Path
) -> None:
    config = replace(CONFIG, stall_warned_at_s=20, max_stall_s=30)
    async with a_queue(private_server.url, heard, config) as queue:
        await queue.start_workers(1)
        task = await queue.enqueue_task("stubborn", 0.7)

        async def runs() -> bool:
            return await queue.state(task) is TaskState.RUNNING

        await until(runs)
        (sleeper,) = queue.worker_pids
        os.kill(sleeper, signal.SIGSTOP)
        await heard(TasksTakenBack, within_s=5)
        async with a_queue(private_server.url, heard, config) as other:
            await other.start_workers(in_process=True)
            assert await queue.result(task, wait_s=10) == os.getpid()
            os.kill(sleeper, signal.SIGCONT)

            await heard(CompletionRefused, within_s=10)
            assert await queue.result(task) == os.getpid()


# -- stopping --------------------------------------------------------------------------


async def test_sigterm_drains_without_counting_an_attempt(
    private_server: Server, heard: Heard, history: Path
) -> None:
    config = replace(CONFIG, grace_s=0.6)
    async with a_queue(private_server.url, heard, config) as queue:
        run = Run(queue, history)
        await run.puts(100, work_s=0.4)
        slow = await queue.enqueue_task("sleeper", 30.0)
        await queue.start_workers(2)

        async def some_done() -> bool:
            return await run.completed() >= 20

        await until(some_done)
        await until(lambda: _runs(queue, slow))
        began = time.monotonic()
        await queue.stop_workers()
        took_s = time.monotonic() - began
        stats = await queue.stats()
        told = await queue.explain(slow)

        assert took_s < 0.6 + 2.0
        assert sum(stats.running.values()) == 0
        assert (told.state, told.attempt, told.crashes) == (TaskState.QUEUED, 1, 0)
        await queue.cancel(slow)
        await queue.start_workers(2)
        await until(run.over)

    assert heard.count(WorkerLost) == 0
    assert run.account().verdict(most_duplicates=2 * CONCURRENCY).ruling == "valid"


async def _runs(queue: QueueManager, task: str) -> bool:
    return await queue.state(task) is TaskState.RUNNING


async def test_no_worker_outlives_a_supervisor_that_was_killed(
    private_server: Server, namespace: str
) -> None:
    script = Path(__file__).with_name("queue_parent.py")
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        private_server.url,
        namespace,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    async with asyncio.timeout(30):
        said = json.loads(await parent.stdout.readline())

    parent.kill()
    await parent.wait()

    assert said["told"][0] == "__quorate_main__"
    assert said["told"][1] in said["pids"]

    async def all_gone() -> bool:
        return all(map(is_gone, said["pids"]))

    await until(all_gone, within_s=10)


async def test_a_worker_that_cannot_begin_says_why(
    private_server: Server, heard: Heard
) -> None:
    async with a_queue(private_server.url, heard) as queue:
        with pytest.raises(QueueError, match="no_such_module"):
            await queue.start_workers(2, prepare=["no_such_module:arm"])

        assert queue.worker_pids == ()
        assert heard.count(WorkerStarted) <= 1


async def test_memory_has_no_worker_processes(heard: Heard, namespace: str) -> None:
    async with a_queue(f"memory://{namespace}", heard) as queue:
        with pytest.raises(MissingCapability, match="in_process"):
            await queue.start_workers(1)


async def test_a_declared_task_is_done_by_a_worker(
    private_server: Server, heard: Heard
) -> None:
    async with a_queue(private_server.url, heard) as queue:
        await queue.start_workers(1)

        task = await handlers.add(3, b=4)

        assert await queue.result(task, queue="side") == 7
        assert await handlers.add.run(1) == 2


# -- the server ------------------------------------------------------------------------


async def test_a_restart_of_the_server_loses_nothing(
    start_server: StartServer, heard: Heard, history: Path
) -> None:
    server = start_server("valkey", persistence="always")
    async with a_queue(server.url, heard) as queue:
        run = Run(queue, history)
        await run.puts(600, work_s=0.01)
        await queue.start_workers(2)
        pids = queue.worker_pids

        async def some_done() -> bool:
            return await run.completed() >= 100

        await until(some_done)
        await server.restart()

        await until(run.over)
        assert queue.worker_pids == pids

    assert heard.count(QueueCutOff) >= 1
    assert heard.count(QueueReached) >= 1
    account = run.account()
    assert account.verdict(most_duplicates=4 * CONCURRENCY).ruling == "valid"
    assert account.done == 600


async def test_a_server_without_memory_refuses_tasks_and_still_finishes_them(
    start_server: StartServer, heard: Heard, history: Path
) -> None:
    server = start_server("valkey", options={"maxmemory": "6mb"})
    config = replace(CONFIG, result_ttl_s=60.0)
    async with a_queue(server.url, heard, config) as queue:
        run = Run(queue, history)
        tasks = [
            Task(name="note", payload={"work_s": 0.0, "bulk": "x" * 20_000})
            for _ in range(500)
        ]
        with pytest.raises(StoreRefused) as refused:
            await queue.enqueue_many(tasks)
        assert refused.value.code == "OOM"
        assert (await queue.stats()).depth > 0

        await queue.start_workers(in_process=True)

        await until(run.over)
        await queue.result(await queue.enqueue_task("note", {"work_s": 0.0}))

    assert heard.count(CompletionRefused) == 0


@pytest.mark.parametrize("remembered", [True, False], ids=["right", "planted bug"])
async def test_lost_answers_strand_no_task(
    remembered: bool,
    private_server: Server,
    heard: Heard,
    history: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The planted bug: the server does not remember what it gave to whom."""
    script = broker._EXCHANGE
    if not remembered:
        text = script.text.replace("if cfg[5] then", "if false then")
        assert text != script.text
        monkeypatch.setattr(broker, "_EXCHANGE", with_text(script, text))
    sha = broker._EXCHANGE.sha.encode()
    proxy = FaultProxy(private_server.url, seed=7, redis=True)
    await proxy.start()
    async with (
        a_queue(private_server.url, Heard()) as onlooker,
        a_queue(proxy.url, heard) as queue,
    ):
        run = Run(onlooker, history)
        await run.puts(1500)
        async with proxy.poisoned(LoseReply(of=sha, chance=0.1)):
            await queue.start_workers(in_process=True)
            await until(lambda: _is_idle(onlooker, queue))
        if remembered:
            await until(run.over)
        else:
            with pytest.raises(TimeoutError):
                await until(run.over, within_s=1.5)
    lost = proxy.stats().connections
    await proxy.stop()

    assert lost > 10
    assert heard.count(TasksStranded) == 0
    if remembered:
        assert run.account().verdict(most_duplicates=0).ruling == "valid"


async def _is_idle(onlooker: QueueManager, queue: QueueManager) -> bool:
    return not (await onlooker.stats()).depth and not queue.counts().running


def with_text(script: Script, text: str) -> Script:
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return replace(script, text=text, sha=sha)


async def test_what_was_stranded_goes_back_at_the_next_roll_call(
    private_server: Server, heard: Heard, history: Path
) -> None:
    async with (
        Backend(private_server.url, terms=TERMS, emit=heard.emit) as backend,
        QueueManager(backend, CONFIG) as queue,
    ):
        await queue.register_task_handler("note", handlers.note)
        run = Run(queue, history)
        await run.puts(1)
        place = queue.place()
        stranded = Request(
            session=await backend.session.join(place.tag),
            exchanger=7,
            number=1,
            finished=(),
            takes=(1, 1, 1),
            slots=Slots(1, 1),
            bell=Bell("", wanted=False),
        )
        assert len((await place.broker.exchange(stranded)).leases) == 1

        await queue.start_workers(in_process=True)

        await heard(TasksStranded, tasks=1)
        await until(run.over)
    assert run.account().verdict().ruling == "valid"
