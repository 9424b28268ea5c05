"""When a task may begin and must be done: what can be asked for, and what cannot."""

from __future__ import annotations

import math
from datetime import datetime

from quorate.core.errors import InvalidInput

from .context import deadline
from .model import Task

LONGEST_DELAY_S = 10 * 366 * 86_400.0
LATEST_S = 32_503_680_000.0
"""The year 3000: who says more gives milliseconds for seconds."""


def deadline_of(task: Task, now: float) -> float | None:
    """Until when it must be done (wall time): its own word, or its parent's if less."""
    inherited = deadline.get()
    if task.deadline_s is None:
        return inherited
    return min(now + task.deadline_s, math.inf if inherited is None else inherited)


def moment_of(at: float | datetime | None) -> float | None:
    """A moment as wall time. Raises `InvalidInput` for a datetime without a zone."""
    if not isinstance(at, datetime):
        return at
    if at.tzinfo is None:
        raise InvalidInput(
            f"{at} is a different moment in each place.",
            "It has no time zone.",
            "Give one: datetime(…, tzinfo=ZoneInfo('Europe/Berlin')).",
        )
    return at.timestamp()


def check_times(task: Task) -> None:
    """Refuse times that make no sense."""
    faults = []
    if not _is_number(task.delay_s) or not 0 <= task.delay_s <= LONGEST_DELAY_S:
        faults.append(f"delay_s = {task.delay_s!r}")
    elif task.at is not None and not (
        _is_number(task.at) and task.delay_s == 0 and 0 <= task.at < LATEST_S
    ):
        faults.append(f"at = {task.at!r} and delay_s = {task.delay_s}")
    for name in ("timeout_s", "expires_s", "deadline_s"):
        value = getattr(task, name)
        if value is not None and not (
            _is_number(value) and 0 < value <= LONGEST_DELAY_S
        ):
            faults.append(f"{name} = {value!r}")
    keep_s = task.keep_result_s
    if keep_s is not None and not (
        _is_number(keep_s) and 0 <= keep_s < LONGEST_DELAY_S
    ):
        faults.append(f"keep_result_s = {keep_s!r}")
    attempts = task.attempts
    if attempts is not None and not (isinstance(attempts, int) and attempts >= 1):
        faults.append(f"attempts = {attempts!r}")
    if faults:
        raise InvalidInput(
            f"The task {task.name!r} cannot be enqueued.",
            "; ".join(faults),
            "Delays and limits are seconds: not negative, finite, at most ten years; "
            "give either delay_s or at; attempts are counted from 1.",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
