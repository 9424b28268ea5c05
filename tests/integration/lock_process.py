"""A process that takes locks, for stories in which processes die.

It writes its history down and tells what it does as lines of JSON. Told "work", it
takes locks in turn, writes to a resource that checks tokens, and gives them back, until
it is told "rest". Told "hold <name>", it stays inside one lock; what it is told then it
does inside: "check", "write", "stall <seconds>", "leave".
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from quorate.backend import Backend
from quorate.core.clock import Chance
from quorate.core.errors import LockLostError, QuorateError
from quorate.core.events import Event
from quorate.lease.lease import LeaseTerms
from quorate.locks.lock import Grant
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig
from quorate.testing.history import Recorder
from quorate.wire.redis import WireLimits


def tell(what: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": what, **facts}) + "\n")
    sys.stdout.flush()


def tell_event(event: Event) -> None:
    tell(event.name, **event.facts())


@dataclass(frozen=True, slots=True)
class Resource:
    """A file that takes a write only from the latest grant that it has seen."""

    path: Path

    def write(self, token: int, owner: str, value: str) -> bool:
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            rows = file.read().splitlines()
            last = json.loads(rows[-1]) if rows else {"token": 0, "owner": ""}
            same = token == last["token"] and owner == last["owner"]
            if token <= last["token"] and not same:
                return False
            row = {"token": token, "owner": owner, "value": value}
            file.write(json.dumps(row) + "\n")
        return True


class Worker:
    """What this process does with its locks."""

    def __init__(self, locks: LockManager, order: dict[str, object]) -> None:
        self._locks = locks
        self._directory = Path(str(order["directory"]))
        self._names = [str(name) for name in order["names"]]  # type: ignore[attr-defined]
        self._hold_s = float(order["hold_s"])  # type: ignore[arg-type]
        self._recorder = Recorder(self._directory / "history", str(order["proc"]))
        self._chance = Chance(str(order["proc"]))
        self._ids = itertools.count(1)
        self._resting = asyncio.Event()
        self.errors: dict[str, int] = {}
        self.done = 0

    async def work(self, tasks: int) -> None:
        """Take locks in so many tasks until `rest`."""
        self._resting.clear()
        await asyncio.gather(*(self._task() for _ in range(tasks)))

    def rest(self) -> None:
        self._resting.set()

    async def _task(self) -> None:
        while not self._resting.is_set():
            try:
                await self.once(self._chance.choice(self._names))
            except QuorateError as error:
                kind = type(error).__name__
                self.errors[kind] = self.errors.get(kind, 0) + 1
                await asyncio.sleep(0.02)
            else:
                self.done += 1

    async def once(self, name: str) -> None:
        """One hold, written down from asking to giving back."""
        owner = f"{self._recorder.proc}-{next(self._ids)}"
        about = {"name": name, "owner": owner}
        asking = self._recorder.invoke("acquire", about)
        releasing = None
        try:
            async with self._locks.acquire_lock(name, wait_s=20.0) as grant:
                asking.ok(grant.token)
                try:
                    await asyncio.sleep(self._hold_s * self._chance.random())
                    grant.check()
                    self.write(name, owner, grant)
                finally:
                    # From here on the lock may be somebody else's.
                    releasing = self._recorder.invoke("release", about)
            releasing.ok(result=True)
        except QuorateError as error:
            if releasing is None:
                asking.info(type(error).__name__)
                self._recorder.invoke("expire", about)
            raise

    def write(self, name: str, owner: str, grant: Grant) -> bool:
        """Write to the resource; told whether it was accepted."""
        about = {"name": name, "owner": owner, "token": grant.token, "value": owner}
        writing = self._recorder.invoke("write", about)
        resource = Resource(self._directory / f"resource-{name}")
        accepted = resource.write(grant.token, owner, owner)
        writing.ok(result=accepted)
        return accepted

    async def hold(self, name: str, orders: asyncio.Queue[list[str]]) -> None:
        """Stay inside one lock and do what one is told."""
        owner = f"{self._recorder.proc}-{next(self._ids)}"
        about = {"name": name, "owner": owner}
        asking = self._recorder.invoke("acquire", about)
        releasing = None
        try:
            async with self._locks.acquire_lock(name, on_loss="flag") as grant:
                asking.ok(grant.token)
                tell("inside", token=grant.token, at=time.monotonic())
                await self._obey(name, owner, grant, orders)
                releasing = self._recorder.invoke("release", about)
            releasing.ok(result=True)
            tell("outside", lost=False)
        except LockLostError as error:
            tell("outside", lost=True, why=error.why)

    async def _obey(
        self, name: str, owner: str, grant: Grant, orders: asyncio.Queue[list[str]]
    ) -> None:
        while (order := await orders.get())[0] != "leave":
            if order[0] == "stall":
                time.sleep(float(order[1]))  # noqa: ASYNC251 - it is to stand still
                # What it does first, before the loop comes round.
                tell("stalled", **self._checked(grant))
            elif order[0] == "check":
                tell("checked", **self._checked(grant))
            elif order[0] == "write":
                tell("written", accepted=self.write(name, owner, grant))

    def _checked(self, grant: Grant) -> dict[str, object]:
        try:
            grant.check()
        except LockLostError as error:
            return {"held": False, "why": error.why}
        return {"held": True}


async def main(order: dict[str, object]) -> None:
    backend = Backend(
        str(order["url"]),
        namespace=str(order["namespace"]),
        terms=LeaseTerms(**order["terms"]),  # type: ignore[arg-type]
        limits=WireLimits(timeout_s=1.0, connect_timeout_s=1.0),
        emit=tell_event,
    )
    async with backend:
        locks = LockManager.over(
            backend.server, backend.session, LockConfig(), tell_event, backend.chance
        )
        backend.sweeper.add(locks.sweeper_room())
        await locks.start()
        worker = Worker(locks, order)
        orders: asyncio.Queue[list[str]] = asyncio.Queue()
        running: set[asyncio.Task[None]] = set()
        tell("ready", pid=os.getpid())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        async for line in reader:
            words = line.decode().split()
            if words[0] == "hold":
                work = worker.hold(words[1], orders)
                running.add(asyncio.create_task(work))
            elif words[0] == "work":
                running.add(asyncio.create_task(worker.work(int(words[1]))))
            elif words[0] == "rest":
                worker.rest()
                await asyncio.gather(*running)
                running.clear()
                tell("rests", done=worker.done, errors=worker.errors)
            else:
                orders.put_nowait(words)
        worker.rest()
        await locks.stop()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
