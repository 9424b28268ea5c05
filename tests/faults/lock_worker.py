"""A process that takes locks while it is harmed, and writes down all that it believes.

Orders come as lines: `work TASKS [HOLDS]` until `rest`, or until so many holds were
begun; `stall SECONDS` blocks the event loop; `stop` is SIGSTOP to itself between two
steps of the loop, so that it is certain what each task had done before. A holder adds
to the fenced log, checks its grant each time, and now and then somebody gives up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TypeAlias

from tests.faults.fenced_log import FencedLog
from tests.faults.lock_bugs import plant

from quorate.backend import Backend
from quorate.core.clock import Chance
from quorate.core.errors import LockLostError, LockNotGranted, QuorateError
from quorate.lease.lease import LeaseTerms
from quorate.locks.lock import Grant, LockBlock
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType, OnLoss
from quorate.testing.history import Recorder, Running
from quorate.wire.redis import WireLimits

WAIT_S = 30.0
IMPATIENT = 0.06
GIVES_UP = 0.04
GIVES_UP_WITHIN_S = 0.02
LONG = 0.2
READERS = 0.8
PERMITS = 3

About: TypeAlias = dict[str, object]
"""What an operation of the history is about."""


def tell(what: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": what, **facts}) + "\n")
    sys.stdout.flush()


class Worker:
    """What this process does with its locks."""

    def __init__(self, locks: LockManager, order: dict[str, object]) -> None:
        self._locks = locks
        self._directory = Path(str(order["directory"]))
        self._names = [str(name) for name in order["names"]]  # type: ignore[attr-defined]
        self._hold_s = float(order["hold_s"])  # type: ignore[arg-type]
        self._pieces = int(order["pieces"])  # type: ignore[call-overload]
        self._restless = bool(order["restless"])
        self._kind = str(order["kind"])
        self._careless = float(order["careless"])  # type: ignore[arg-type]
        self.recorder = Recorder(self._directory / "history", str(order["proc"]))
        self._chance = Chance(f"{order['seed']}/{order['proc']}")
        self._ids = itertools.count(1)
        self._left = 0
        self._resting = asyncio.Event()
        self.errors: Counter[str] = Counter()
        self.done = 0

    async def work(self, tasks: int, holds: int = sys.maxsize) -> None:
        self._left = holds
        self._resting.clear()
        await asyncio.gather(*(self._task() for _ in range(tasks)))

    def rest(self) -> None:
        self._resting.set()

    async def _task(self) -> None:
        while not self._resting.is_set() and self._left > 0:
            self._left -= 1
            try:
                await self._once(self._chance.choice(self._names))
            except LockNotGranted:
                self.errors["LockNotGranted"] += 1
            except QuorateError as error:
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(0.02)
            else:
                self.done += 1

    async def _once(self, name: str) -> None:
        owner = f"{self.recorder.proc}-{next(self._ids)}"
        drawn = self._chance.random() if self._restless else 1.0
        if drawn < GIVES_UP:
            within_s = self._chance.uniform(0.0, GIVES_UP_WITHIN_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._hold(name, owner, WAIT_S)
        elif drawn < GIVES_UP + IMPATIENT:
            await self._hold(name, owner, GIVES_UP_WITHIN_S)
        else:
            await self._hold(name, owner, WAIT_S)

    async def _hold(self, name: str, owner: str, wait_s: float) -> None:
        """One hold, written down from asking to giving back."""
        about = self._about(name, owner)
        releasing: Running | None = None
        with self.recorder.operation("acquire", about) as asking:
            async with self._block(about, wait_s) as grant:
                asking.ok(grant.token)
                try:
                    await self._use(about, grant)
                finally:
                    # From here on the lock may be somebody else's.
                    releasing = self.recorder.invoke("release", about)
            releasing.ok(result=True)

    def _about(self, name: str, owner: str) -> About:
        about: About = {"name": name, "owner": owner}
        if self._chance.random() < self._careless:
            about["careless"] = True
        if self._kind == "semaphore":
            about["weight"] = self._chance.randint(1, 2)
        elif self._kind == "readers":
            about["shared"] = self._chance.random() < READERS
        return about

    def _block(self, about: About, wait_s: float) -> LockBlock:
        name, owner = str(about["name"]), str(about["owner"])
        on_loss: OnLoss = "flag" if about.get("careless") else "cancel"
        if self._kind == "semaphore":
            permits = self._locks.semaphore(name, PERMITS)
            return permits.acquire(
                int(str(about["weight"])), wait_s=wait_s, on_loss=on_loss
            )
        kind = LockType.SHARED if about.get("shared") else LockType.EXCLUSIVE
        if self._kind == "reentrant":
            kind = LockType.REENTRANT
        return self._locks.acquire_lock(
            name, kind, wait_s=wait_s, on_loss=on_loss, owner=owner
        )

    async def _use(self, about: About, grant: Grant) -> None:
        if self._kind == "semaphore" or about.get("shared"):
            await self._work()
            self._check(about, grant)
        elif self._kind == "reentrant":
            async with self._block(about, 0.0):
                await self._add(about, grant)
            self._check(about, grant)
        else:
            await self._add(about, grant)

    async def _add(self, about: About, grant: Grant) -> None:
        owner = str(about["owner"])
        log = FencedLog(self._directory / f"log-{about['name']}")
        opened = self._step("write", grant, about, f"{owner} opens")
        row = log.open(grant.token, owner, f"{owner} opens")
        opened.ok(row is not None)
        await self._work()
        self._check(about, grant)
        if row is not None:
            adding = self._step("write", grant, about, owner)
            adding.ok(log.add(grant.token, owner, owner, row.last))

    def _check(self, about: About, grant: Grant) -> None:
        """Raises `LockLostError`, unless the holder does not care."""
        checking = self._step("check", grant, about, "")
        try:
            grant.check()
        except LockLostError:
            checking.ok(result=False)
            if not about.get("careless"):
                raise
        else:
            checking.ok(result=True)

    async def _work(self) -> None:
        """Work in pieces: a process that stood still has the rest of it before it."""
        is_long = self._chance.random() < LONG
        for _ in range(self._chance.randint(1, self._pieces) if is_long else 1):
            await asyncio.sleep(self._hold_s * self._chance.random())

    def _step(self, f: str, grant: Grant, about: About, value: str) -> Running:
        return self.recorder.invoke(f, about | {"token": grant.token, "value": value})

    def stand_still(self, how: str, seconds: float) -> None:
        """Stall the loop, or stop the whole process until somebody lets it go on."""
        standing = self.recorder.invoke("stall" if how == "stall" else "stop", {})
        if how == "stall":
            time.sleep(seconds)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        standing.ok()


async def main(order: dict[str, object]) -> None:
    for bug in order["bugs"]:  # type: ignore[attr-defined]
        plant(str(bug))
    backend = Backend(
        str(order["url"]),
        namespace=str(order["namespace"]),
        terms=LeaseTerms(**order["terms"]),  # type: ignore[arg-type]
        limits=WireLimits(
            timeout_s=float(order["timeout_s"]),  # type: ignore[arg-type]
            connect_timeout_s=1.0,
        ),
    )
    async with backend:
        config = LockConfig(**order["config"])  # type: ignore[arg-type]
        locks = LockManager.over(backend.wire, backend.session, config)
        backend.sweeper.add(locks.sweeper_room())
        await locks.start()
        worker = Worker(locks, order)
        tell("ready")
        await obey(worker)
        worker.rest()
        await locks.stop()


async def obey(worker: Worker) -> None:
    working: list[asyncio.Task[None]] = []
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        word, *rest = line.decode().split()
        if word == "work":
            work = asyncio.create_task(worker.work(*map(int, rest)))
            work.add_done_callback(lambda _: tell("worked"))
            working.append(work)
        elif word == "rest":
            worker.rest()
            await asyncio.gather(*working)
            working.clear()
            tell("rests", done=worker.done, errors=worker.errors)
        else:
            worker.stand_still(word, float(rest[0]) if rest else 0.0)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
