"""A server on one processor, clients on another, and a record of each window.

    lab = Lab(server, pythons, logs, "tests.bench.locks.child")
    with lab.clients(entry, 10) as children, lab.watching(children) as seen: …

What was counted and how noisy it was is in `seen` when the block has ended.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.entries import Entry
from tests.bench.environments import ROOT
from tests.bench.measuring import NoiseWatch, count, pin
from tests.servers import Server

SERVER_PROCESSOR = 0
CLIENT_PROCESSOR = 1
ANSWER_WITHIN_S = 60.0


class ChildFailed(Exception):
    """A child answered with an error, or not at all."""


class ChildProcess:
    """A process that runs the child program and does what it is told."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._log = log
        self.pid = self._process.pid

    def ready(self, processor: int | None = CLIENT_PROCESSOR) -> None:
        """It has connected; from here on it keeps to its processor."""
        self.answer()
        if processor is not None:
            pin(self.pid, processor)

    def tell(self, do: str, **facts: Any) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **facts}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildFailed(f"it has ended; see {self._log}") from error

    def answer(self, within_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
        """Its answer to the oldest order. One is outstanding at most."""
        out = self._process.stdout
        assert out is not None
        if not select.select([out], [], [], within_s)[0]:
            raise ChildFailed(f"it said nothing within {within_s:g} s")
        line = out.readline()
        if not line:
            raise ChildFailed(f"it has ended; see {self._log}")
        facts: dict[str, Any] = json.loads(line)
        if "failed" in facts:
            raise ChildFailed(facts["failed"])
        return facts

    def ask(
        self, do: str, *, within_s: float = ANSWER_WITHIN_S, **facts: Any
    ) -> dict[str, Any]:
        self.tell(do, **facts)
        return self.answer(within_s)

    def end(self, *, kindly: bool = True) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0 if kindly else 0.0)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass(slots=True)
class Seen:
    """What was noticed beside the clock: noise, and what the server did."""

    noise: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Lab:
    """The server, where the environments of the peers are, and what children run."""

    server: Server
    pythons: Mapping[str, Path]
    log: Path
    program: str

    @contextlib.contextmanager
    def clients(
        self,
        *entries: Entry,
        options: Mapping[str, float] | None = None,
        flush: bool = True,
        url: str = "",
        processor: int | None = CLIENT_PROCESSOR,
    ) -> Iterator[list[ChildProcess]]:
        """A fresh process for each of `entries`, all connected, on an empty server.

        They connect to `url`, or else to the server itself; without a `processor` they
        run on any.
        """
        if flush:
            self.server.admin.flushall()
        children: list[ChildProcess] = []
        try:
            for entry in entries:
                settings = {
                    "peer": entry.module,
                    "url": url or self.server.url,
                    "uvloop": entry.uvloop,
                    "options": {**entry.options, **(options or {})},
                }
                python = str(self.pythons[entry.home])
                command = (python, "-m", self.program, json.dumps(settings))
                children.append(ChildProcess(command, self.log))
            for child in children:
                child.ready(processor)
            yield children
        finally:
            # Who waits for a lock that nobody will give back need not be waited for.
            for child in children:
                child.end(kindly=len(children) == 1)

    @contextlib.contextmanager
    def watching(
        self,
        children: Sequence[ChildProcess],
        *,
        helpers: Sequence[int] = (),
        alone: Sequence[int] | None = None,
    ) -> Iterator[Seen]:
        """Count and listen for noise during the block.

        `helpers` are further processes of ours. Those of `alone` should not have to
        wait for a processor: the server, and one client, unless it is said otherwise.
        """
        seen = Seen()
        before = count(self.server)
        ours = [self.server.pid, *(child.pid for child in children)]
        if alone is None:
            alone = ours if len(children) == 1 else [self.server.pid]
        watch = NoiseWatch([*ours, *helpers], alone)
        yield seen
        noise = watch.stop()
        seen.noise = {key: round(value, 2) for key, value in asdict(noise).items()}
        seen.counts = count(self.server).since(before).facts()
        seen.why_not = noise.why_not
