"""Waiting for what becomes of a task.

The server sends word when a task is over; should the message be missed, asking again
now and then finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from quorate.core.clock import Clock
from quorate.core.codec import Json, decode
from quorate.core.errors import (
    OutcomeUnknown,
    ResultPending,
    StoreError,
    StoreUnavailable,
    TaskFailed,
    UnknownTask,
)

from .model import TaskState
from .ports import Found, Results

ASK_AGAIN_S = 2.0


class Waiting:
    """Who waits for which task, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bells: dict[str, set[asyncio.Event]] = {}

    def over(self, task_id: str) -> None:
        """Word has come that this task is over."""
        for bell in self._bells.get(task_id, ()):
            bell.set()

    def look_again(self) -> None:
        """Messages may have been missed."""
        for task_id in tuple(self._bells):
            self.over(task_id)

    async def result(
        self, results: Results, task_id: str, *, wait_s: float, tell: str = ""
    ) -> Json:
        """What the handler returned. The server sends word to the channel `tell`.

        Raises `TaskFailed` if the task is dead or cancelled, `UnknownTask` if it is not
        known (any more), `ResultPending` after `wait_s`. While the server is away it
        waits on; `StoreUnavailable` is raised only if it is still away then.
        """
        ends_at = self._clock.monotonic() + wait_s
        tell = tell if wait_s else ""
        with self._bell(task_id) as bell:
            asked = await _ask(results, task_id, tell)
            while isinstance(asked, StoreError) or not is_over(asked):
                left_s = ends_at - self._clock.monotonic()
                if left_s > 0:
                    await _heard(bell, min(left_s, ASK_AGAIN_S))
                    asked = await _ask(results, task_id, tell)
                elif isinstance(asked, StoreError):
                    raise asked
                else:
                    raise pending(task_id, asked, wait_s)
        return value_of(task_id, asked)

    @contextmanager
    def _bell(self, task_id: str) -> Iterator[asyncio.Event]:
        bell = asyncio.Event()
        self._bells.setdefault(task_id, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[task_id]
            bells.discard(bell)
            if not bells:
                del self._bells[task_id]


def is_over(found: Found) -> bool:
    """Is there nothing more to wait for?"""
    return found.state in (None, TaskState.DONE, TaskState.DEAD, TaskState.CANCELLED)


def value_of(task_id: str, found: Found) -> Json:
    """The result, or the error that stands for the task's end."""
    if found.state is TaskState.DONE:
        return decode(found.body, "result") if found.body else None
    if found.state is TaskState.CANCELLED:
        before = found.body.decode(errors="replace")
        why = (
            f"The task {before}, which it follows, did not end well." if before else ""
        )
        raise TaskFailed(f"The task {task_id} was cancelled.", why)
    if found.state is TaskState.DEAD:
        note = decode(found.body, "note of a death")
        raise TaskFailed(
            f"The task {task_id} ended in the dead letters ({note['reason']}).",
            note["error"],
            "Mend the cause, then replay it.",
        )
    raise UnknownTask(
        f"There is no task {task_id}.",
        "It was never enqueued here, or its result is not kept any more.",
        "Check the id and the queue.",
    )


def pending(task_id: str, found: Found, wait_s: float) -> ResultPending:
    """The error for a wait that was too short."""
    state = found.state.value if found.state else "unknown"
    return ResultPending(
        f"The task {task_id} has no result after {wait_s:g} s.",
        f"It is {state}.",
        "Wait longer with wait_s=…, or ask explain() what keeps it.",
    )


async def _ask(results: Results, task_id: str, tell: str) -> Found | StoreError:
    """What is known of the task; or why nobody answers, which may pass."""
    try:
        return await results.find(task_id, tell=tell)
    except (StoreUnavailable, OutcomeUnknown) as error:
        return error


async def _heard(bell: asyncio.Event, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await bell.wait()
    except TimeoutError:
        return
    bell.clear()
