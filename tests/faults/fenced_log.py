"""The resource that the locks protect: a set to which holders add, kept by a fence.

Adding is reading, working and writing: whoever adds builds on what it has read, so an
add on top of an old reading loses what came between. A reading raises the fence as well
as a write does; otherwise a late write could slip in between the two. One file a name,
one line a step, each whole or not there at all, whenever its writer dies.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

TAIL_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One accepted step. `last` is the newest add; `base` what an add was built on."""

    kind: str = ""
    token: int = 0
    owner: str = ""
    value: str = ""
    last: str = ""
    base: str = ""

    def text(self) -> bytes:
        return json.dumps([*(getattr(self, name) for name in _FIELDS)]).encode() + b"\n"


Make: TypeAlias = Callable[[Row], tuple[str, str, str, str]]
"""From the newest row: kind, value, last and base of the next."""

_FIELDS = ("kind", "token", "owner", "value", "last", "base")


class FencedLog:
    """Takes a step only from the latest grant that it has seen."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, token: int, owner: str, value: str) -> Row | None:
        """Read under the fence: what is newest; None if the grant is an old one."""
        return self._step(token, owner, lambda tail: ("open", value, tail.last, ""))

    def add(self, token: int, owner: str, value: str, base: str) -> bool:
        """Add `value` on top of what was read; False if the grant is an old one."""
        row = self._step(token, owner, lambda _: ("add", value, value, base))
        return row is not None

    def rows(self) -> list[Row]:
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [Row(*json.loads(line)) for line in lines]

    def _step(self, token: int, owner: str, make: Make) -> Row | None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            tail = _tail(file)
            same = token == tail.token and owner == tail.owner
            if token <= tail.token and not same:
                return None
            kind, value, last, base = make(tail)
            row = Row(kind, token, owner, value, last, base)
            os.write(file, row.text())
            return row
        finally:
            os.close(file)


def lost_adds(rows: list[Row]) -> int:
    """Accepted adds that the next one was not built on: they are gone from the set."""
    adds = [row for row in rows if row.kind == "add"]
    lost, newest = 0, ""
    for row in adds:
        lost += row.base != newest
        newest = row.value
    return lost


def _tail(file: int) -> Row:
    size = os.fstat(file).st_size
    if not size:
        return Row()
    end = os.pread(file, TAIL_BYTES, max(0, size - TAIL_BYTES))
    return Row(*json.loads(end.splitlines()[-1]))
