"""The live view: what an operator wants to see at a glance.

In a terminal it is drawn four times a second; elsewhere, and with `--json`, every
event is one plain line.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

HEALTH_STYLE = {
    "healthy": "green",
    "degraded": "yellow",
    "starting": "cyan",
    "unhealthy": "red",
    "suspect": "magenta",
    "gone": "bright_black",
}


@dataclass
class Picture:
    """What is shown now. The story keeps it up to date."""

    total: int = 0
    done: int = 0
    malformed: int = 0
    phase: str = "starting"
    degraded: bool = False
    cause: str = ""
    instances: dict[str, dict[str, str]] = field(default_factory=dict)
    lanes: dict[str, dict[str, float]] = field(default_factory=dict)
    shed: int = 0
    locks: list[tuple[str, str, int]] = field(default_factory=list)
    workers: Sequence[int] = ()
    log: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=12))
    started: float = field(default_factory=time.monotonic)

    def note(self, what: str, style: str = "") -> None:
        """One line of the event log; what several processes say at once, once."""
        if what not in (line for _, line, _ in self.log):
            self.log.append((time.monotonic() - self.started, what, style))

    def save(self, path: Path) -> None:
        """The picture as it is now, as an SVG."""
        console = Console(record=True, width=132, file=io.StringIO())
        console.print(self)
        console.save_svg(str(path), title="make demo")

    def __rich__(self) -> RenderableType:
        top = Table.grid(expand=True)
        top.add_column(ratio=1)
        top.add_column(ratio=1)
        top.add_row(self._instances(), self._lanes())
        bottom = Table.grid(expand=True)
        bottom.add_column(ratio=1)
        bottom.add_column(ratio=1)
        bottom.add_row(self._locks(), self._mode())
        return Group(self._head(), top, bottom, self._events())

    def _head(self) -> RenderableType:
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(width=36)
        line.add_column(ratio=1)
        line.add_column(width=20, justify="right")
        elapsed = time.monotonic() - self.started
        line.add_row(
            Text(self.phase, style="bold"),
            ProgressBar(total=max(1, self.total), completed=self.done),
            Text(f"{self.done}/{self.total}  {elapsed:5.1f} s"),
        )
        return Panel(
            line, title="[bold]quorate[/] · consultations", border_style="blue"
        )

    def _instances(self) -> RenderableType:
        table = Table(box=None, expand=True)
        for name in ("instance", "pid", "health", "endpoint"):
            table.add_column(name, style="dim" if name == "endpoint" else "")
        for ident, facts in sorted(self.instances.items()):
            style = HEALTH_STYLE.get(facts["health"], "")
            health = Text(f"● {facts['health']}", style=style)
            table.add_row(ident, facts["pid"], health, facts["endpoint"])
        return Panel(table, title="instances", border_style="cyan")

    def _lanes(self) -> RenderableType:
        table = Table(box=None, expand=True)
        table.add_column("lane")
        for name in ("waiting", "running", "oldest"):
            table.add_column(name, justify="right")
        table.add_column("")
        for index, lane in enumerate(("high", "normal", "low")):
            facts = self.lanes.get(lane, {})
            shed = 3 - index <= self.shed
            table.add_row(
                lane,
                f"{facts.get('ready', 0):.0f}",
                f"{facts.get('running', 0):.0f}",
                f"{facts['oldest_s']:.1f} s" if facts.get("oldest_s") else "–",
                Text("shed", style="bold yellow") if shed else Text("", style="dim"),
            )
        return Panel(table, title="lanes", border_style="cyan")

    def _locks(self) -> RenderableType:
        table = Table(box=None, expand=True)
        table.add_column("lock")
        table.add_column("holder", style="dim", overflow="ellipsis", no_wrap=True)
        table.add_column("waiting", justify="right")
        for name, holder, waiting in self.locks[:5]:
            table.add_row(name, holder, str(waiting) if waiting else "")
        return Panel(
            table, title=f"locks ({len(self.locks)} held)", border_style="cyan"
        )

    def _mode(self) -> RenderableType:
        mode = (
            Text("DEGRADED", style="bold white on red")
            if self.degraded
            else Text("normal", style="bold green")
        )
        lines = [mode, Text(self.cause, style="dim")]
        lines.append(Text(f"workers {', '.join(map(str, self.workers))}", style="dim"))
        return Panel(Group(*lines), title="mode", border_style="cyan")

    def _events(self) -> RenderableType:
        lines = [
            Text.assemble((f"{at:6.1f} s  ", "dim"), (what, style))
            for at, what, style in self.log
        ]
        return Panel(Group(*lines), title="events", border_style="blue", height=14)


class Lines:
    """The same for machines and logs: one line an event."""

    def __init__(self, *, as_json: bool, stream: TextIO | None = None) -> None:
        self._as_json = as_json
        self._stream = stream or sys.stdout
        self._started = time.monotonic()

    def write(self, message: str, facts: Mapping[str, object]) -> None:
        at = round(time.monotonic() - self._started, 3)
        if self._as_json:
            line = json.dumps({**facts, "at_s": at, "message": message}, default=str)
        else:
            shown = " ".join(f"{name}={value}" for name, value in facts.items())
            line = f"{at:8.3f}  {message}  {shown}".rstrip()
        print(line, file=self._stream, flush=True)
