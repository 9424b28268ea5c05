"""Worker processes that can be killed, stopped and stalled, over one server.

Satisfies what the hands of a nemesis strike: `kill` and `restart`, `pause` and
`resume`. A worker that is started again is a new process with a history of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from quorate.lease.lease import LeaseTerms

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 50.0
"""Patience with a machine that has other things to do, not a promise of ours."""

REST_WITHIN_S = 60.0


TERMS = LeaseTerms(ttl_s=2.0, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who works, at what, under which terms.

    A hold lasts up to `hold_s`; one of five up to so many times that (`pieces`).
    `kind`: lock, reentrant, readers or semaphore. A `careless` holder is only told of
    a loss (`on_loss="flag"`), and writes nevertheless.
    """

    processes: int = 4
    tasks: int = 8
    names: int = 16
    hold_s: float = 0.01
    pieces: int = 1
    restless: bool = True
    passing_s: float = 0.05
    timeout_s: float = 1.0
    kind: str = "lock"
    careless: float = 0.0
    replicas: int = 0
    strict: bool = False
    terms: LeaseTerms = TERMS
    bugs: tuple[str, ...] = ()


class Worker:
    """One place in the crew, and the process that fills it now."""

    def __init__(
        self,
        name: str,
        order: dict[str, object],
        begin: tuple[object, ...],
        module: str = "tests.faults.lock_worker",
    ) -> None:
        self.name = name
        self.settings = order
        self._begin = begin
        self._module = module
        self._life = 0
        self._process: asyncio.subprocess.Process | None = None
        self._told: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._ear: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self._life += 1
        order = self.settings | {"proc": f"{self.name}.{self._life}"}
        self._told = asyncio.Queue()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module, json.dumps(order)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": ""},
        )
        self._ear = asyncio.ensure_future(self._listen(self._process, self._told))
        await self.tells("ready", READY_WITHIN_S)

    def order(self, *words: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")

    async def tells(self, event: str, within_s: float) -> dict[str, object]:
        """The next event of this name; the others before it are passed over."""
        async with asyncio.timeout(within_s):
            while (told := await self._told.get())["event"] != event:
                pass
        return told

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def gone(self, within_s: float) -> int:
        """Wait until it has ended by itself. Its exit code."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    async def restart(self) -> None:
        await self.end()
        await self.start()
        self.order(*self._begin)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop_itself(self) -> None:
        """It stops between two steps of its loop; `resume` lets it go on."""
        self.order("stop")
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat")
        async with asyncio.timeout(10):
            while stat.read_text().rpartition(")")[2].split()[0] != "T":
                await asyncio.sleep(0.002)

    async def end(self) -> None:
        if self._process is None:
            return
        if self._ear is not None:
            self._ear.cancel()
        self.resume()
        self.kill()
        await self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        # Not the process' own send_signal: it would reap what the loop watches.
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _listen(
        self,
        process: asyncio.subprocess.Process,
        told: asyncio.Queue[dict[str, object]],
    ) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            told.put_nowait(json.loads(line))
        told.put_nowait({"event": "gone"})


class Fleet:
    """All workers of a run."""

    def __init__(self, crew: Crew, urls: list[str], directory: Path, seed: int) -> None:
        self.crew = crew
        self.errors: Counter[str] = Counter()
        self.done = 0
        self.workers: dict[str, Worker] = {}
        for index in range(crew.processes):
            order = {
                "url": urls[index % len(urls)],
                "namespace": "faults",
                "directory": str(directory),
                "seed": seed,
                "names": [f"n{number}" for number in range(crew.names)],
                "hold_s": crew.hold_s,
                "pieces": crew.pieces,
                "restless": crew.restless,
                "kind": crew.kind,
                "careless": crew.careless,
                "config": {
                    "passing_s": crew.passing_s,
                    "replicas": crew.replicas,
                    "replicas_within_s": 0.5,
                    "strict": crew.strict,
                },
                "timeout_s": crew.timeout_s,
                "terms": asdict(crew.terms),
                "bugs": crew.bugs,
            }
            name = f"w{index + 1}"
            self.workers[name] = Worker(name, order, ("work", crew.tasks))

    async def start(self) -> None:
        await asyncio.gather(*(worker.start() for worker in self.workers.values()))

    def work(self, holds: int | None = None) -> None:
        limit = () if holds is None else (-(-holds // len(self.workers)),)
        for worker in self.workers.values():
            worker.order("work", self.crew.tasks, *limit)

    async def worked(self, within_s: float) -> None:
        """Until each has begun its share of holds, and ended them."""
        for worker in self.workers.values():
            await worker.tells("worked", within_s)

    async def rest(self) -> None:
        """Let everybody finish what it does. Adds up what each says of itself."""
        for worker in self.workers.values():
            worker.order("rest")
        for worker in self.workers.values():
            told = await worker.tells("rests", REST_WITHIN_S)
            self.done += int(told["done"])  # type: ignore[call-overload]
            self.errors.update(Counter(told["errors"]))  # type: ignore[call-overload]

    async def stop(self) -> None:
        await asyncio.gather(*(worker.end() for worker in self.workers.values()))
