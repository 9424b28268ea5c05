"""A worker process as its supervisor sees it: a process and a line to it.

The line is a pair of sockets. The child reads its orders from it, writes its reports
into it, and takes its end for the end of the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from enum import Enum

from quorate.core.clock import Clock
from quorate.core.codec import Json
from quorate.core.events import Event

from .counts import WorkerTally
from .measures import Rows
from .orders import DRAIN, HURRY, LONGEST_LINE, event_of

MODULE = "quorate.worker"


class Letter(Enum):
    """What a child has said, or that it has not."""

    NOTHING = "nothing"
    READY = "ready"
    FAILED = "failed"
    SESSION = "session"
    BEAT = "beat"
    EVENT = "event"
    END = "end"


class Child:
    """One worker process. Made by `Child.start`."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: Clock,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._heard_at = clock.monotonic()
        self.is_ready = False
        self.failure = ""
        self.event: Event | None = None
        self.sessions: list[tuple[str, str]] = []
        self.tally = WorkerTally()
        self.rss_bytes = 0
        self.lag_s = 0.0
        self.rows: Rows = {}

    @classmethod
    async def start(
        cls, orders: bytes, clock: Clock, output: int | None = None
    ) -> Child:
        """Start a process and give it its orders. `output` takes what it prints.

        It has a process group of its own: what a terminal sends to the supervisor does
        not reach it.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", MODULE, "--line", str(theirs.fileno())),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        writer.write(orders)
        return cls(process, reader, writer, clock)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def silent_s(self) -> float:
        """Seconds since it was last heard."""
        return self._clock.monotonic() - self._heard_at

    async def hear(self, within_s: float) -> Letter:
        """What it says next; `NOTHING` if it is silent for `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                line = await self._reader.readline()
        except TimeoutError:
            return Letter.NOTHING
        except (ConnectionError, ValueError):
            return Letter.END
        if not line:
            return Letter.END
        self._heard_at = self._clock.monotonic()
        return self._note(json.loads(line))

    def drain(self) -> None:
        """Let it finish what runs and end. Said on the line and not by a signal:

        who stops a whole group of processes sends each a SIGTERM, and a second one
        would hurry it. A child that is not ready yet has nothing to finish.
        """
        if self.is_ready:
            self._writer.write(DRAIN)
        else:
            self._terminate()

    def hurry(self) -> None:
        """While it drains: let it give back what runs, at once."""
        if self.is_ready:
            self._writer.write(HURRY)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def over(self, patience_s: float = 0.0) -> int:
        """Wait until the process is gone; kill it after `patience_s`. Its exit code."""
        try:
            async with asyncio.timeout(patience_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        self._writer.close()
        return await self._process.wait()

    def _terminate(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def _note(self, said: dict[str, Json]) -> Letter:
        ((what, value),) = said.items()
        letter = Letter(what)
        if letter is Letter.READY:
            self.is_ready = True
        elif letter is Letter.FAILED:
            self.failure = value
        elif letter is Letter.SESSION:
            self.sessions.append((value[0], value[1]))
        elif letter is Letter.BEAT:
            self.rss_bytes = value.pop("rss_bytes", 0)
            self.lag_s = value.pop("lag_s", 0.0)
            self.rows = value.pop("rows", self.rows)
            self.tally = WorkerTally(**value)
        elif letter is Letter.EVENT:
            self.event = event_of(value)
        return letter
