"""Who works on tasks in a fault run, and who puts them in and keeps the account."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.faults.fleet import REST_WITHIN_S, TERMS, Worker
from tests.faults.stage import Stage

from quorate.backend import Backend
from quorate.core.errors import OutcomeUnknown, QuorateError, StoreUnavailable
from quorate.core.ids import new_task_id
from quorate.lease.lease import LeaseTerms
from quorate.queue.manager import QueueManager
from quorate.queue.model import DEFAULT_QUEUE, QueueConfig, Task
from quorate.queue.views import QueueStats
from quorate.testing.history import Running, read_history
from quorate.wire.redis import WireLimits

NAMESPACE = "faults"
CONCURRENCY = 16
CALM = LeaseTerms()
"""For runs in which no session is to end, however slow the machine is."""
BATCH = 100
MOST_WAITING = 1_000
LOOK_EVERY_S = 0.05
AGAIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCrew:
    """Who works, under which terms. `config` is what differs from the defaults.

    `deadly` is a point at which a process kills itself, and with which chance.
    """

    processes: int = 4
    concurrency: int = CONCURRENCY
    config: dict[str, Any] = field(default_factory=dict)
    terms: LeaseTerms = TERMS
    timeout_s: float = 2.0
    deadly: tuple[str, float] | None = None
    bugs: tuple[str, ...] = ()


class QueueFleet:
    """All workers of a run. One that ends is replaced while `tended` lasts."""

    def __init__(self, stage: Stage, crew: QueueCrew, *urls: str) -> None:
        self.crew = crew
        self.deaths = 0
        self.done = self.stale = 0
        self.workers: dict[str, Worker] = {}
        config = {
            "concurrency": crew.concurrency,
            "poll_s": 0.5,
            "roll_call_s": 2.0,
            "grace_s": 3.0,
            **crew.config,
        }
        for index in range(crew.processes):
            deadly = crew.deadly and (*crew.deadly, stage.seed + index)
            order: dict[str, object] = {
                "url": urls[index % len(urls)],
                "namespace": NAMESPACE,
                "directory": str(stage.directory),
                "terms": asdict(crew.terms),
                "config": config,
                "timeout_s": crew.timeout_s,
                "deadly": deadly,
                "bugs": crew.bugs,
            }
            name = f"w{index + 1}"
            module = "tests.faults.queue_worker"
            self.workers[name] = Worker(name, order, ("work",), module)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Everybody works for the length of the block."""
        try:
            await asyncio.gather(*(each.start() for each in self.workers.values()))
            for worker in self.workers.values():
                worker.order("work")
            yield
        finally:
            await asyncio.gather(*(each.end() for each in self.workers.values()))

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Who ends by itself is started again. Afterwards all are alive and tame."""
        tending = [
            asyncio.ensure_future(self._tend(worker))
            for worker in self.workers.values()
        ]
        try:
            yield
        finally:
            for each in tending:
                each.cancel()
            await asyncio.gather(*tending, return_exceptions=True)
        for worker in self.workers.values():
            worker.settings["deadly"] = None
            await worker.restart()

    async def _tend(self, worker: Worker) -> None:
        while True:
            await worker.gone(3600.0)
            self.deaths += 1
            await worker.restart()

    async def rest(self) -> None:
        """Let everybody drain. Adds up what each says of itself."""
        for worker in self.workers.values():
            worker.order("rest")
        for worker in self.workers.values():
            told = await worker.tells("rests", REST_WITHIN_S)
            self.done += int(str(told["done"]))
            self.stale += int(str(told["stale"]))


class Producer:
    """Puts tasks in, writes each down, and looks what became of them."""

    def __init__(self, stage: Stage, queue: QueueManager) -> None:
        self.queue = queue
        self.stage = stage
        self.asked = 0
        self.repeated = 0

    def tasks(self, count: int, name: str = "act", **options: Any) -> list[Task]:
        """So many more, each with an id of its own."""
        self.asked += count
        now = time.time()
        ids = [new_task_id(now) for _ in range(count)]
        return [Task(name=name, id=each, **options) for each in ids]

    async def put(self, tasks: Sequence[Task]) -> None:
        """Put them in, again and again until it is certain that they are in."""
        asked = [self._noted(task) for task in tasks]
        while True:
            try:
                await self.queue.enqueue_many(tasks)
            except (StoreUnavailable, OutcomeUnknown):
                self.repeated += 1
                await asyncio.sleep(AGAIN_S)
            else:
                break
        for each in asked:
            each.ok()

    def _noted(self, task: Task) -> Running:
        return self.stage.recorder.invoke("enqueue", {"id": task.id})

    async def feed(
        self, count: int, make: Callable[[int], list[Task]], batch: int = BATCH
    ) -> None:
        """Put so many in, by and by, so that there is always enough and never much."""
        left = count
        while left > 0:
            if (await self.depth()) < MOST_WAITING:
                some = min(left, batch)
                await self.put(make(some))
                left -= some
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    async def feed_until(
        self, enough: Callable[[], bool], make: Callable[[int], list[Task]]
    ) -> None:
        """Keep some waiting until it is enough."""
        while not enough():
            if (await self.depth()) < MOST_WAITING // 2:
                await self.put(make(BATCH))
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    async def depth(self) -> int:
        stats = await self.stats()
        return stats.depth if stats is not None else MOST_WAITING

    async def stats(self, queue: str = DEFAULT_QUEUE) -> QueueStats | None:
        """None while the server is away."""
        try:
            return await self.queue.stats(queue)
        except QuorateError:
            return None

    async def drained(self, within_s: float) -> str:
        """Wait until no task is waiting or running; else say what is left."""
        ends_at = time.monotonic() + within_s
        stats = None
        while time.monotonic() < ends_at:
            stats = await self.stats()
            if stats and not (
                stats.depth or stats.scheduled or sum(stats.running.values())
            ):
                return ""
            await asyncio.sleep(LOOK_EVERY_S)
        return f"after {within_s:g} s: {stats}"

    def completed(self) -> int:
        """How many tasks have had their effect."""
        history = read_history(self.stage.directory / "history")
        return len({op.args["id"] for op in history.of("complete") if op.is_known})


@contextlib.asynccontextmanager
async def a_producer(
    stage: Stage, url: str, timeout_s: float = 2.0
) -> AsyncIterator[Producer]:
    """A process of its own would do the same; this one also keeps the account."""
    limits = WireLimits(timeout_s=timeout_s, connect_timeout_s=1.0)
    backend = Backend(url, namespace=NAMESPACE, terms=TERMS, limits=limits)
    async with backend, QueueManager(backend, QueueConfig()) as queue:
        yield Producer(stage, queue)
