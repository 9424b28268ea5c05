"""A worker process's line to its supervisor, and its pulse.

Orders and words come from it, reports go into it, and its end is the supervisor's end.
"""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

from quorate.core.codec import Json
from quorate.core.events import Event
from quorate.lease.events import SessionJoined

from .counts import WorkerTally
from .manager import QueueManager
from .measures import Rows
from .orders import event_report, report

BEAT_S = 1.0
ORDERS_WITHIN_S = 30.0
LAST_WORDS_S = 5.0


class Line:
    """The way to the supervisor. What it says is lost when nobody listens any more."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def orders(self) -> bytes:
        """The first line that comes; empty if the supervisor is gone."""
        async with asyncio.timeout(ORDERS_WITHIN_S):
            return await self._reader.readline()

    async def next_word(self) -> bytes:
        """What the supervisor says next; empty when it is gone.

        Had it not read everything when it died, the line is reset instead of closed.
        """
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    def say(self, what: str, value: Json) -> None:
        self._writer.write(report(what, value))

    def hear(self, event: Event) -> None:
        """Pass on what the supervisor should know. An `Emit`."""
        if isinstance(event, SessionJoined):
            self.say("session", [event.tag, event.session])
        line = event_report(event)
        if line is not None:
            self._writer.write(line)

    async def close(self) -> None:
        """Let the last words out."""
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._writer.drain()
        except (TimeoutError, ConnectionError):
            return


class Pulse:
    """A role: as long as it beats, the event loop is alive."""

    name = "pulse"

    def __init__(self, line: Line, queue: QueueManager) -> None:
        self._line = line
        self._queue = queue
        self._due_at = time.monotonic()
        self._told: Rows = {}

    async def tick(self) -> float:
        """One beat, with the counts so far."""
        counts = self._queue.counts()
        names = WorkerTally.__slots__
        tally = {name: getattr(counts, name) for name in names}
        now = time.monotonic()
        lag_s = max(0.0, now - self._due_at)
        self._due_at = now + BEAT_S
        facts: dict[str, Json] = {
            "rss_bytes": resident_bytes(),
            "lag_s": round(lag_s, 4),
        }
        rows = self._queue.measured()
        if rows != self._told:
            self._told = facts["rows"] = rows
        self._line.say("beat", tally | facts)
        return BEAT_S


def resident_bytes() -> int:
    """The memory that this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()
