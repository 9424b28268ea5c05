"""What the worker processes of the queue's stories do, and what they write down.

Each process writes the history of what it completes into HISTORY, so that a checker can
judge the whole run, whoever was killed meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

from quorate.queue import TaskContext, TaskPriority, async_task
from quorate.queue.redis import broker
from quorate.testing.failpoints import arm_from
from quorate.testing.history import Recorder

HISTORY = "QUEUE_STORY_HISTORY"


@cache
def recorder() -> Recorder:
    return Recorder(Path(os.environ[HISTORY]))


def arm() -> None:
    """Called by each worker before it begins."""
    arm_from(os.environ)


def pop_before_owning() -> None:
    """A planted bug: tasks leave their lane before the server notes who has them."""
    script = broker._EXCHANGE
    line = "    redis.call('SADD', base .. 'mine:' .. session, unpack(names))\n"
    text = script.text.replace(line, "")
    assert text != script.text
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    broker._EXCHANGE = replace(script, text=text, sha=sha)


async def note(payload: dict, context: TaskContext) -> int:
    """Works a little and writes it down."""
    await asyncio.sleep(payload["work_s"])
    done = recorder().invoke("complete", {"id": context.task_id})
    done.ok({"attempt": context.attempt, "token": context.token})
    return os.getpid()


async def sleeper(work_s: float) -> None:
    """Does nothing for a while."""
    await asyncio.sleep(work_s)


async def stubborn(work_s: float) -> int:
    """Goes on until it is done, whoever says stop."""
    ends_at = time.monotonic() + work_s
    while (left_s := ends_at - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left_s)
        except asyncio.CancelledError:
            continue
    return os.getpid()


async def neighbour(_payload: None, context: TaskContext) -> str:
    """Runs until its worker dies, and the next time no longer."""
    trace = Path(os.environ[HISTORY]) / context.task_id
    if trace.exists():
        return "done"
    trace.touch()
    await asyncio.Event().wait()
    return "never"


async def poison(others: int) -> None:
    """Takes its process along, as soon as so many others have begun."""
    while len(list(Path(os.environ[HISTORY]).iterdir())) < others:
        await asyncio.sleep(0.01)
    os._exit(7)


async def in_slot(slot: str, context: TaskContext) -> None:
    """Writes down when it has the slot, and under which token."""
    log = Path(os.environ[HISTORY]) / f"{os.getpid()}.log"

    def note(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{time.monotonic()} {what} {slot} {context.token}\n")

    note("begin")
    await asyncio.sleep(0.004)
    note("end")


async def stall(work_s: float, context: TaskContext) -> int:
    """Blocks the event loop, the first time."""
    with recorder().operation("complete", {"id": context.task_id}) as operation:
        if len(list(Path(os.environ[HISTORY]).glob("*.jsonl"))) == 1:
            time.sleep(work_s)  # noqa: ASYNC251 - blocking the loop is the fault
        operation.ok()
    return os.getpid()


@async_task(queue="side", priority=TaskPriority.HIGH)
async def add(a: int, b: int = 1) -> int:
    """Declared as a task."""
    return a + b
