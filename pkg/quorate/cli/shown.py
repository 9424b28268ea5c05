"""Answers as a table for people or as JSON for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import NoneType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quorate.core.errors import QuorateError

STYLES = {
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "unknown": "magenta",
    "starting": "cyan",
}


IDS = frozenset({"id", "session", "instance", "token"})
"""These columns are copied by hand: they are never cut."""


PIPE_WIDTH = 2000


class Shown:
    """Where answers go, and in which form."""

    def __init__(self, *, as_json: bool, console: Console | None = None) -> None:
        self.as_json = as_json
        self._console = console or _console()

    def rows(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str
    ) -> None:
        """One line a row, under `columns`; `empty` is said when there is none."""
        if self.as_json:
            self.value([dict(zip(columns, row, strict=True)) for row in rows])
            return
        if not rows:
            self._console.print(Text(empty, style="dim"))
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        numbers = {
            index
            for index in range(len(columns))
            if all(isinstance(row[index], (int, float, NoneType)) for row in rows)
        }
        for index, name in enumerate(columns):
            is_id = name in IDS
            table.add_column(
                name,
                justify="right" if index in numbers else "left",
                min_width=_widest(rows, index) if is_id else len(name),
                no_wrap=is_id,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self._console.print(table)

    def value(self, value: object) -> None:
        """One value."""
        if self.as_json:
            text = json.dumps(value, default=str, ensure_ascii=False)
            self._console.print(text, soft_wrap=True, highlight=False, markup=False)
        elif isinstance(value, dict):
            for name, item in value.items():
                self._console.print(Text.assemble((f"{name}  ", "dim"), str(item)))
        else:
            self._console.print(Text(str(value)))

    def clear(self) -> None:
        """Begin a new page, where there are pages."""
        if not self.as_json and self._console.is_terminal:
            self._console.clear()

    def when(self, wall_s: float | None) -> str | None:
        """A moment: how long ago for people, ISO 8601 in UTC for machines."""
        if not self.as_json:
            return ago(wall_s)
        if not wall_s:
            return None
        return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")

    def moment(self, wall_s: float) -> str:
        """A moment to come: local time for people, ISO 8601 in UTC for machines."""
        if self.as_json:
            return datetime.fromtimestamp(wall_s, UTC).isoformat(
                timespec="milliseconds"
            )
        local = datetime.fromtimestamp(wall_s, UTC).astimezone()
        return local.strftime("%Y-%m-%d %H:%M:%S")

    @staticmethod
    def complain(error: QuorateError) -> None:
        """An error, its reason and its cure, on standard error."""
        console = Console(stderr=True)
        console.print(Text(error.what, style="bold red"))
        for part in (error.why, error.fix):
            if part:
                console.print(Text(f"  {part}"))


def _console() -> Console:
    """As wide as the terminal; what goes into a file or a pipe is not cut at all."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def ago(wall_s: float | None) -> str:
    """How long ago, for people."""
    if not wall_s:
        return "–"
    return span(max(0.0, time.time() - wall_s))


def span(seconds: float) -> str:
    """`75.2` → `1 min 15 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _widest(rows: Sequence[Sequence[object]], index: int) -> int:
    return max(len(str(row[index])) for row in rows)


def _cell(value: object) -> Text:
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.1f}")
    return Text(str(value), style=STYLES.get(str(value), ""))
