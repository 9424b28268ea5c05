"""CPU-heavy handlers run aside: in a process of their own beside the worker's.

The worker's event loop and its other tasks do not notice them, and nor do they notice a
handler that takes its process along: the death of the process is a crash of the task,
not of the worker. A process is used again for the next task; one whose task is stopped
is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import TypeVar

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput

from .references import MAIN, MAIN_IN_WORKER, main_module, reference_of, resolve

MODULE = "quorate.queue.aside_process"
MARK = "__quorate_own_process__"
LONGEST_LINE = 16 * 1024 * 1024
LAST_BREATH_S = 2.0

F = TypeVar("F", bound=Callable[..., object])


def own_process(function: F) -> F:
    """Let a handler run in a process of its own, for work that keeps a CPU busy.

    It must be a function of a module and takes no `TaskContext`. Below `@async_task`.
    """
    setattr(function, MARK, True)
    return function


def runs_aside(function: Callable[..., object]) -> bool:
    """Was it declared with `own_process`?"""
    return bool(getattr(function, MARK, False))


class ProcessDied(Exception):
    """The process of a task ended in the middle of it."""


class FailedAside(Exception):
    """A handler's error whose class cannot be found here. Its words say all."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.kind}: {super().__str__()}"


class Aside:
    """So many processes beside a worker, started when they are needed."""

    def __init__(self, most: int | None = None) -> None:
        self._places = asyncio.Semaphore(most or os.cpu_count() or 1)
        self._idle: list[Side] = []

    async def run(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, Json],
    ) -> Json:
        """What the handler returned. Raises its error, or `ProcessDied`."""
        reference, main = _named(function)
        words: Json = {
            "call": reference,
            "main": main,
            "path": [entry for entry in sys.path if entry],
            "args": list(args),
            "kwargs": kwargs,
        }
        async with self._places:
            side = self._idle.pop() if self._idle else await Side.start()
            try:
                said = await side.ask(words)
            except BaseException:
                side.kill()
                raise
            self._idle.append(side)
        if "error" in said:
            raise _error_of(said["error"])
        return said["value"]

    def close(self) -> None:
        """End all processes."""
        while self._idle:
            self._idle.pop().kill()


class Side:
    """One process, and the line to it. Made by `Side.start`."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls) -> Side:
        """Start a process that waits for calls."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", MODULE, str(theirs.fileno())),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        return cls(process, reader, writer)

    async def ask(self, words: Json) -> dict[str, Json]:
        """Send a call and wait for what comes of it. Raises `ProcessDied`."""
        self._writer.write(json.dumps(words, separators=(",", ":")).encode() + b"\n")
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            raise ProcessDied(f"its process ended with exit code {await self._end()}.")
        said: dict[str, Json] = json.loads(line)
        return said

    async def _end(self) -> int:
        """Its exit code. It is on its way out: asked too early, it would be lost."""
        try:
            async with asyncio.timeout(LAST_BREATH_S):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
        return await self._process.wait()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._writer.close()
        if self._process.returncode is None:
            self._process.kill()


def _named(function: Callable[..., object]) -> tuple[str, Json]:
    """The function's name for another process, and what was started as main."""
    reference = reference_of(function)
    module, _, qualname = reference.partition(":")
    if module == MAIN:
        return reference, main_module()
    if module == MAIN_IN_WORKER:
        file = getattr(sys.modules[MAIN_IN_WORKER], "__file__", None)
        return f"{MAIN}:{qualname}", (None, file)
    return reference, (None, None)


def _error_of(facts: Json) -> Exception:
    """The handler's error again, of its own class if that can be found."""
    reference, kind, words, retry_after_s = facts
    error: Exception = FailedAside(kind, words)
    try:
        found = resolve(reference)
    except InvalidInput:
        found = None
    if isinstance(found, type) and issubclass(found, Exception):
        error = found.__new__(found)
        error.args = (words,)
        if str(error) != words:
            error = FailedAside(kind, words)
    if retry_after_s is not None:
        error.retry_after_s = retry_after_s  # type: ignore[attr-defined]
    return error
