"""Workers as somebody in front of a terminal sees them.

In a terminal a table stands below everything that is said, and is drawn anew twice a
second; what workers print passes through a pipe, so that it stands above the table.
Elsewhere there are lines only.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quorate.core.errors import QuorateError
from quorate.core.events import Event
from quorate.core.lifecycle import Tasks
from quorate.node import Node
from quorate.queue.events import (
    QueueCutOff,
    QueueReached,
    TaskDied,
    TasksTakenBack,
    TaskTimedOut,
    WorkerLost,
    WorkerRecycled,
    WorkerStalled,
    WorkerStarted,
    WorkerStopped,
)
from quorate.queue.sights import WorkerSight, WorkerState

from .shown import Shown, span

DRAWN_EVERY_S = 0.5
RATE_OVER_S = 5.0
TOLD = (
    WorkerStarted, WorkerStopped, WorkerLost, WorkerRecycled, WorkerStalled, TaskDied,
    TaskTimedOut, TasksTakenBack, QueueCutOff, QueueReached,
)  # fmt: skip
STYLES = {
    "info": "",
    "warning": "yellow",
    "error": "red",
    WorkerState.WORKING: "green",
    WorkerState.STARTING: "cyan",
    WorkerState.DRAINING: "yellow",
    WorkerState.RESTING: "yellow",
    WorkerState.STALLED: "red",
    WorkerState.STOPPED: "dim",
}


class CrewView:
    """What is said while workers work. Use with `async with`."""

    def __init__(self, node: Node, shown: Shown, *, is_plain: bool) -> None:
        self._node = node
        self._as_json = shown.as_json
        self._console = Console()
        self._live = (
            None if is_plain else Live(console=self._console, auto_refresh=False)
        )
        self._tasks = Tasks()
        self._rate = Rate()
        self._sights: tuple[WorkerSight, ...] = ()
        self._leave: Callable[[], None] | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self.output: int | None = None

    async def __aenter__(self) -> CrewView:
        if self._live is not None:
            self._leave = self._node.listen(self._hear)
            await self._take_output()
            self._live.start()
            self._tasks.employ(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._leave is not None:
            self._leave()
        await self._tasks.close()
        if self._live is not None:
            await self.tick()
            self._live.stop()
        if self._pipe is not None:
            self._pipe.close()
        if self.output is not None:
            os.close(self.output)

    name = "crew view"

    async def tick(self) -> float:
        """Draw once."""
        if self._live is not None:
            sights = self._sights = self._node.queue.workers() or self._sights
            done = sum(sight.tally.done_total for sight in sights)
            rate = self._rate.at(time.monotonic(), done)
            self._live.update(crew(sights, rate), refresh=True)
        return DRAWN_EVERY_S

    def say(self, what: str, about: str, style: str = "") -> None:
        """One line."""
        if self._as_json:
            self._json({"what": what, "about": about})
            return
        clock = time.strftime("%H:%M:%S")
        line = Text.assemble((f"{clock} ", "dim"), (f"{what:<18} ", style), about)
        self._console.print(line, soft_wrap=True)

    def complain(self, error: QuorateError) -> None:
        """An error that does not end the command."""
        self.say("fault", error.what, "red")
        for part in (error.why, error.fix):
            if part:
                self.say("", part)

    def _hear(self, event: Event) -> None:
        """In a terminal: events stand above the table. Elsewhere the log has them."""
        if not isinstance(event, TOLD):
            return
        facts = "  ".join(f"{name} {value}" for name, value in event.facts().items())
        self.say(event.name, facts, STYLES.get(type(event).level, ""))

    def _json(self, facts: dict[str, object]) -> None:
        print(json.dumps(facts, default=str, ensure_ascii=False), flush=True)

    async def _take_output(self) -> None:
        """Give the workers a pipe to print into."""
        ours, self.output = os.pipe()
        reader = asyncio.StreamReader()
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb")
        )
        self._tasks.employ(Relay(reader, self._console))


class Relay:
    """A role: passes on what workers print, line by line."""

    name = "relay"

    def __init__(self, reader: asyncio.StreamReader, console: Console) -> None:
        self._reader = reader
        self._console = console

    async def tick(self) -> float:
        """One line."""
        line = await self._reader.readline()
        if not line:
            return 1.0
        text = line.decode(errors="replace").rstrip("\n")
        self._console.print(Text.from_ansi(text), soft_wrap=True)
        return 0.0


class Rate:
    """How fast a count grows, over the last few seconds."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def at(self, now: float, count: int) -> float:
        """Per second."""
        self._marks.append((now, count))
        while len(self._marks) > 2 and now - self._marks[1][0] >= RATE_OVER_S:
            self._marks.pop(0)
        since, before = self._marks[0]
        return max(0.0, count - before) / (now - since) if now > since else 0.0


def crew(sights: tuple[WorkerSight, ...], rate: float) -> RenderableType:
    """The table."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("worker", "pid", "state"):
        table.add_column(name)
    for name in ("up", "running", "done", "retried", "dead", "back", "memory"):
        table.add_column(name, justify="right")
    for sight in sights:
        tally = sight.tally
        table.add_row(
            str(sight.number),
            str(sight.pid or "–"),
            Text(sight.state.value, style=STYLES[sight.state]),
            span(sight.age_s) if sight.pid else "–",
            str(tally.running),
            str(tally.done_total),
            str(tally.retried_total),
            str(tally.dead_total),
            str(tally.back_total),
            f"{sight.rss_bytes / 2**20:.0f} MiB" if sight.rss_bytes else "–",
        )
    running = sum(sight.tally.running for sight in sights)
    return Group(table, Text(f"{rate:,.0f} tasks/s done, {running} running", "dim"))
