"""What was asked of a system and what came of it, written down while it happens.

One file of JSON lines a process, complete up to the moment it is killed; read together
in the order of the machine's monotonic clock. An operation ends as ok, as fail (it
certainly did not happen) or as info (nobody knows): a timeout is never a fail.

    {"t_ns":…,"proc":"w1","op_id":"w1-7","f":"acquire","args":{…},"type":"invoke"}
    {"t_ns":…,"proc":"w1","op_id":"w1-7","f":"acquire","type":"ok","result":4181}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeAlias

from quorate.core.codec import Json
from quorate.core.errors import (
    InvalidInput,
    InvalidPayload,
    LockNotGranted,
    QuorateError,
    StoreUnavailable,
)
from quorate.core.ids import short

Outcome: TypeAlias = Literal["ok", "fail", "info"]

DID_NOT_HAPPEN: tuple[type[QuorateError], ...] = (
    InvalidInput,
    LockNotGranted,
    StoreUnavailable,
)
"""Errors after which nothing has changed. Every other one leaves it open."""


def monotonic_ns() -> int:
    """Comparable between the processes of one machine."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Running:
    """An operation under way. Say how it ended; the first word counts."""

    def __init__(self, recorder: Recorder, op_id: str, f: str) -> None:
        self._recorder = recorder
        self._op_id = op_id
        self._f = f
        self._ended = False

    def ok(self, result: Json = None) -> None:
        """It happened, with this result."""
        self._end("ok", result)

    def fail(self, why: str = "") -> None:
        """It certainly did not happen."""
        self._end("fail", why)

    def info(self, why: str = "") -> None:
        """It may have happened, or may still."""
        self._end("info", why)

    def _end(self, outcome: Outcome, result: Json) -> None:
        if not self._ended:
            self._ended = True
            self._recorder._write(self._op_id, self._f, type=outcome, result=result)


class Recorder:
    """Writes the history of one process. Close it, or let the process die."""

    def __init__(
        self,
        directory: Path,
        proc: str = "",
        *,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.proc = proc or f"{os.getpid()}-{short()}"
        self._now_ns = now_ns
        self._ids = count(1)
        directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(directory / f"{self.proc}.jsonl", flags, 0o644)

    def invoke(self, f: str, args: Json = None) -> Running:
        """Note that `f` begins now."""
        op_id = f"{self.proc}-{next(self._ids)}"
        self._write(op_id, f, type="invoke", args=args)
        return Running(self, op_id, f)

    @contextlib.contextmanager
    def operation(self, f: str, args: Json = None) -> Iterator[Running]:
        """`f` for the length of the block. What the block does not say is concluded.

        An error of `DID_NOT_HAPPEN` is a fail, any other error or a cancellation an
        info, and so is a block that ends without a word. Errors pass through.
        """
        running = self.invoke(f, args)
        try:
            yield running
        except DID_NOT_HAPPEN as error:
            running.fail(f"{type(error).__name__}: {error}")
            raise
        except (Exception, asyncio.CancelledError) as error:
            running.info(f"{type(error).__name__}: {error}")
            raise
        finally:
            running.info("the block ended without a word")

    def close(self) -> None:
        os.close(self._file)

    def _write(self, op_id: str, f: str, **fields: Json) -> None:
        line = {"t_ns": self._now_ns(), "proc": self.proc, "op_id": op_id, "f": f}
        text = json.dumps(line | fields, separators=(",", ":"), ensure_ascii=False)
        # One write a line: what was written is kept when the process is killed.
        os.write(self._file, text.encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a history. `returned_ns` is None when its outcome is open."""

    f: str
    args: Any
    result: Any
    called_ns: int
    returned_ns: int | None
    proc: str = ""
    op_id: str = ""

    @property
    def is_known(self) -> bool:
        return self.returned_ns is not None


@dataclass(frozen=True, slots=True)
class History:
    """The operations of all processes in the order in which they began.

    `operations` are those that happened or may have; `failed` certainly did not.
    `torn` counts lines that a killed process did not finish.
    """

    operations: tuple[Operation, ...]
    failed: tuple[Operation, ...] = ()
    torn: int = 0

    def of(self, *names: str) -> list[Operation]:
        """The operations called so."""
        return [op for op in self.operations if op.f in names]

    def by(self, key: Callable[[Operation], str]) -> dict[str, list[Operation]]:
        """The operations apart by what they are about, such as the lock's name."""
        parts: dict[str, list[Operation]] = {}
        for op in self.operations:
            parts.setdefault(key(op), []).append(op)
        return parts


def read_history(directory: Path) -> History:
    """The histories of all processes in `directory`, together."""
    lines: list[dict[str, Any]] = []
    torn = 0
    for path in sorted(directory.glob("*.jsonl")):
        whole, _, rest = path.read_text(encoding="utf-8", errors="replace").rpartition(
            "\n"
        )
        torn += bool(rest)
        lines += (_parsed(path, text) for text in whole.splitlines() if text)
    lines.sort(key=lambda line: line["t_ns"])
    return _told(lines, torn)


@dataclass(slots=True)
class _Open:
    begin: dict[str, Any]
    end: dict[str, Any] = field(default_factory=dict)


def _told(lines: Sequence[dict[str, Any]], torn: int) -> History:
    began: dict[str, _Open] = {}
    for line in lines:
        if line["type"] == "invoke":
            began[line["op_id"]] = _Open(line)
        elif line["op_id"] in began:
            began[line["op_id"]].end = line
    operations = _operations(began.values(), ("ok", "info", None))
    return History(operations, _operations(began.values(), ("fail",)), torn)


def _operations(
    opened: Iterable[_Open], outcomes: tuple[str | None, ...]
) -> tuple[Operation, ...]:
    return tuple(
        Operation(
            f=one.begin["f"],
            args=one.begin.get("args"),
            result=one.end.get("result"),
            called_ns=one.begin["t_ns"],
            returned_ns=one.end["t_ns"]
            if one.end.get("type") in ("ok", "fail")
            else None,
            proc=one.begin["proc"],
            op_id=one.begin["op_id"],
        )
        for one in opened
        if one.end.get("type") in outcomes
    )


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        line["t_ns"], line["op_id"], line["f"], line["proc"], line["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidPayload(
            f"{path} is not a history.", f"{error!r} in {text[:80]!r}"
        ) from error
    return dict(line)
