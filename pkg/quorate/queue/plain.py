"""Most tasks say what is to be done and nothing else: those are packed quickly.

All plain tasks of one name, queue and priority have the same envelope but for the
payload. So the first is packed, and checked, like any other; its head is kept for those
that follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from quorate.core.codec import Json, encode
from quorate.core.errors import InvalidInput
from quorate.core.ids import TaskIds

from .context import deadline
from .model import Task, TaskPriority
from .ports import Parcel

MOST_REMEMBERED = 1024
_SAID = ("name", "payload", "queue", "priority")
_OTHERS = [each for each in fields(Task) if each.name not in _SAID]
_others_of = attrgetter(*(each.name for each in _OTHERS))
_NOTHING = tuple(each.default for each in _OTHERS)

UNSAID = (None,) * 9
"""What `enqueue_task` was not told of a plain task, besides its delay."""


def several(payloads: Iterable[Json]) -> list[Json]:
    """The payloads of several tasks; text or a mapping was meant for one alone."""
    if isinstance(payloads, str | bytes | Mapping) or not isinstance(
        payloads, Iterable
    ):
        raise InvalidInput(
            "enqueue_each was not given payloads.",
            f"It got a {type(payloads).__name__}.",
            "Give a list with a payload for each task, or call enqueue_task.",
        )
    return list(payloads)


class Form(NamedTuple):
    """What tasks of one kind have in common."""

    lane: int
    head: bytes
    what: str


class Forms:
    """The forms of a producer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._ids = TaskIds()
        self._known: dict[tuple[str, str, TaskPriority], Form] = {}

    def of(self, name: str, queue: str, priority: TaskPriority) -> Form | None:
        """The form of plain tasks of this kind, if it is known."""
        if deadline.get() is not None or type(priority) is not TaskPriority:
            return None
        return self._known.get((name, queue, priority))

    def of_task(self, task: Task) -> Form | None:
        """The form of a task; None if it is not plain."""
        if _others_of(task) != _NOTHING:
            return None
        return self.of(task.name, task.queue, task.priority)

    def fill(self, form: Form, payload: Json, now: float) -> Parcel:
        """A parcel of this form. Raises `InvalidPayload`."""
        envelope = form.head + encode(payload, form.what, self._max_bytes)
        return Parcel(self._ids.next(now), form.lane, 0.0, envelope)

    def fill_each(
        self, form: Form, payloads: Sequence[Json], now: float
    ) -> list[Parcel]:
        """A parcel of this form for each of them. Raises `InvalidPayload`."""
        lane, head, what = form
        most, ids = self._max_bytes, self._ids.many(now, len(payloads))
        return [
            Parcel(task_id, lane, 0.0, head + encode(payload, what, most))
            for task_id, payload in zip(ids, payloads, strict=True)
        ]

    def learn(self, task: Task, parcel: Parcel) -> None:
        """Remember the form of a task that was packed in full."""
        if _others_of(task) != _NOTHING or deadline.get() is not None:
            return
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        head, line, _ = parcel.envelope.partition(b"\n")
        form = Form(parcel.lane, head + line, f"payload of {task.name}")
        self._known[task.name, task.queue, task.priority] = form
