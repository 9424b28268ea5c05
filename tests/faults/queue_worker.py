"""A process that works on tasks while it is harmed, and writes down what it does.

Orders come as lines: `work`; `rest` drains and says what was done; `stall SECONDS`
blocks the event loop. SIGTERM drains and ends. Each attempt is a *run* in the history,
and each effect a *complete*, written before the server hears of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.fenced_log import FencedLog
from tests.faults.queue_bugs import plant

from quorate.backend import Backend
from quorate.core import failpoint
from quorate.lease.lease import LeaseTerms
from quorate.queue.context import TaskContext
from quorate.queue.manager import QueueManager
from quorate.queue.model import LaneWeights, QueueConfig, RetryPolicy
from quorate.queue.ports import Answer, Request
from quorate.queue.redis.broker import RedisBroker
from quorate.resilience.backoff import constant
from quorate.testing.history import Recorder
from quorate.wire.redis import WireLimits

RETRY_AFTER_S = 0.05


class ToldToFail(Exception):
    """The task was to fail."""


def tell(what: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": what, **facts}) + "\n")
    sys.stdout.flush()


class Worker:
    """What this process does with tasks."""

    def __init__(self, queue: QueueManager, order: dict[str, Any]) -> None:
        self._queue = queue
        self._directory = Path(order["directory"])
        self._deadly = Deadly(*order["deadly"]) if order["deadly"] else None
        self.recorder = Recorder(self._directory / "history", str(order["proc"]))

    async def work(self) -> None:
        if self._deadly is not None:
            self._deadly.lie_in_wait()
        for name in ("act", "add", "fail", "poison", "block"):
            await self._queue.register_task_handler(name, getattr(self, name))
        await self._queue.start_workers(in_process=True)

    # -- handlers --------------------------------------------------------------------

    async def act(self, payload: dict[str, Any], context: TaskContext) -> int:
        """Works for `work_s`."""
        about = {"id": context.task_id, "token": context.token}
        with self.recorder.operation("run", about) as running:
            if self._deadly is not None:
                self._deadly.at("during a run")
            await asyncio.sleep(payload["work_s"])
            self._complete(context)
            running.ok()
        return context.token

    async def add(self, payload: dict[str, Any], context: TaskContext) -> int:
        """Works between two steps on a resource that takes none from an old claim."""
        about = {"id": context.task_id, "token": context.token}
        log = FencedLog(self._directory / f"log-{context.task_id}")
        with self.recorder.operation("run", about) as running:
            row = log.open(context.token, self.recorder.proc, "opens")
            ends_at = time.monotonic() + payload["work_s"]
            while time.monotonic() < ends_at:
                await asyncio.sleep(0.05)
            if row is not None:
                log.add(context.token, self.recorder.proc, context.task_id, row.last)
            self._complete(context)
            running.ok()
        return context.token

    async def fail(self, payload: dict[str, Any], context: TaskContext) -> int:
        """Fails at its first attempts."""
        about = {"id": context.task_id, "token": context.token}
        with self.recorder.operation("run", about) as running:
            if context.attempt <= payload["times"]:
                running.ok()
                raise ToldToFail(f"attempt {context.attempt}")
            self._complete(context)
            running.ok()
        return context.token

    async def poison(self, _payload: None, context: TaskContext) -> None:
        """Takes its process along."""
        self.recorder.invoke("run", {"id": context.task_id, "token": context.token})
        os._exit(7)

    async def block(self, payload: dict[str, Any], context: TaskContext) -> int:
        """Blocks the event loop instead of waiting."""
        about = {"id": context.task_id, "token": context.token}
        with self.recorder.operation("run", about) as running:
            time.sleep(payload["work_s"])  # noqa: ASYNC251 - that is the fault
            self._complete(context)
            running.ok()
        return context.token

    def _complete(self, context: TaskContext) -> None:
        done = self.recorder.invoke("complete", {"id": context.task_id})
        done.ok({"attempt": context.attempt, "token": context.token})


class Deadly:
    """Kills this process now and then, always at the same point."""

    def __init__(self, point: str, chance: float, seed: int) -> None:
        self._point = point
        self._chance = chance
        self._random = random.Random(f"{seed}/{os.getpid()}")

    def at(self, point: str) -> None:
        if point == self._point and self._random.random() < self._chance:
            os.kill(os.getpid(), signal.SIGKILL)

    def lie_in_wait(self) -> None:
        exchange = RedisBroker.exchange

        async def dangerous(broker: RedisBroker, request: Request) -> Answer:
            kinds = {finished.move.kind.value for finished in request.finished}
            for kind in kinds:
                self.at(f"before {kind} is sent")
            answer = await exchange(broker, request)
            for kind in kinds:
                self.at(f"before {kind} is answered")
            if answer.leases:
                self.at("before claims are heard of")
            return answer

        async def strike(name: str) -> None:
            self.at(name)

        RedisBroker.exchange = dangerous  # type: ignore[method-assign,assignment]
        failpoint.arm(strike)


async def main(order: dict[str, Any]) -> None:
    for bug in order["bugs"]:
        plant(str(bug))
    backend = Backend(
        order["url"],
        namespace=order["namespace"],
        terms=LeaseTerms(**order["terms"]),
        limits=WireLimits(timeout_s=order["timeout_s"], connect_timeout_s=1.0),
    )
    config = dict(order["config"])
    if "weights" in config:
        config["weights"] = LaneWeights(*config["weights"])
    retry = RetryPolicy(config.pop("attempts", 3), constant(RETRY_AFTER_S))
    async with backend, QueueManager(backend, QueueConfig(retry=retry, **config)) as q:
        worker = Worker(q, order)
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        tell("ready")
        obeying = asyncio.ensure_future(obey(worker, q))
        term = asyncio.ensure_future(ending.wait())
        await asyncio.wait((obeying, term), return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        await q.stop_workers()
        tell("drained", took_s=time.monotonic() - began)


async def obey(worker: Worker, queue: QueueManager) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        word, *rest = line.decode().split()
        if word == "work":
            await worker.work()
        elif word == "rest":
            await queue.stop_workers()
            counts = queue.counts()
            tell("rests", done=counts.done_total, stale=counts.stale_total)
        elif word == "stall":
            time.sleep(float(rest[0]))  # noqa: ASYNC251 - stalling is the fault


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
