"""Plain tasks are packed by their kind; all others one by one."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from quorate.core.codec import decode
from quorate.core.errors import InvalidPayload
from quorate.queue import plain
from quorate.queue.context import deadline
from quorate.queue.envelope import Header, read_header, seal
from quorate.queue.guards import Rate, Slot, Unique
from quorate.queue.manager import QueueManager
from quorate.queue.model import Task, TaskPriority
from quorate.queue.plain import Forms
from quorate.queue.ports import Parcel

FIRST = Parcel("first", 1, 0.0, seal(Header("work"), {"a": 1}, 1000))


def filled(forms: Forms, task: Task, now: float) -> Parcel | None:
    form = forms.of_task(task)
    return None if form is None else forms.fill(form, task.payload, now)


@pytest.fixture
def forms() -> Forms:
    forms = Forms(1000)
    forms.learn(Task(name="work", payload={"a": 1}), FIRST)
    return forms


def test_a_task_of_a_known_kind_is_packed_like_the_first(forms: Forms) -> None:
    parcel = filled(forms, Task(name="work", payload=["b\n"]), 1.0)

    assert parcel is not None
    assert parcel.id != FIRST.id
    assert (parcel.lane, parcel.delay_s) == (1, 0.0)
    header, payload = read_header(parcel.envelope)
    assert header == Header("work")
    assert decode(payload, "payload") == ["b\n"]


def test_a_parcel_of_a_known_kind_is_made_for_each_payload(forms: Forms) -> None:
    form = forms.of("work", "default", TaskPriority.NORMAL)
    assert form is not None

    parcels = forms.fill_each(form, ["b", None, [1]], 1.0)

    assert len({parcel.id for parcel in parcels}) == 3
    one_by_one = [forms.fill(form, payload, 1.0) for payload in ("b", None, [1])]
    assert [parcel[1:] for parcel in parcels] == [each[1:] for each in one_by_one]


@pytest.mark.parametrize(
    "other",
    [
        Task(name="other"),
        Task(name="work", queue="side"),
        Task(name="work", priority=TaskPriority.HIGH),
        Task(name="work", priority="normal"),  # type: ignore[arg-type]
    ],
)
def test_another_kind_is_not_known(forms: Forms, other: Task) -> None:
    assert filled(forms, other, 1.0) is None


def test_whatever_else_a_task_says_it_is_not_plain(forms: Forms) -> None:
    for each in dataclasses.fields(Task):
        if each.name not in ("name", "payload", "queue", "priority"):
            other: dict[str, Any] = {each.name: "said"}
            said = dataclasses.replace(Task(name="work"), **other)
            forms.learn(said, FIRST._replace(lane=2))
            assert filled(forms, said, 1.0) is None, each.name
    learnt = filled(forms, Task(name="work"), 1.0)
    assert learnt is not None
    assert learnt.lane == 1


def test_what_inherits_a_deadline_is_not_plain(forms: Forms) -> None:
    before = deadline.set(5.0)
    try:
        assert filled(forms, Task(name="work"), 1.0) is None
    finally:
        deadline.reset(before)


def test_what_cannot_travel_is_refused(forms: Forms) -> None:
    with pytest.raises(InvalidPayload, match="payload of work"):
        filled(forms, Task(name="work", payload={1: 2}), 1.0)
    with pytest.raises(InvalidPayload, match="too large"):
        filled(forms, Task(name="work", payload="x" * 1000), 1.0)


def test_not_too_many_kinds_are_remembered(forms: Forms) -> None:
    for number in range(plain.MOST_REMEMBERED + 10):
        forms.learn(Task(name=f"kind-{number}"), FIRST)

    assert len(forms._known) <= plain.MOST_REMEMBERED


SAID = {
    "delay_s": 1.0,
    "at": 5e9,
    "task_id": "mine",
    "timeout_s": 5.0,
    "attempts": 2,
    "expires_s": 5.0,
    "deadline_s": 5.0,
    "unique": Unique("key"),
    "slot": Slot("key"),
    "rate": Rate(5, 1.0),
}


def options_of_enqueue_task() -> list[str]:
    given = inspect.signature(QueueManager.enqueue_task).parameters
    known = ("self", "name", "payload", "priority", "queue")
    return [name for name in given if name not in known]


@pytest.mark.parametrize("option", options_of_enqueue_task())
async def test_what_enqueue_task_is_told_is_never_passed_over(option: str) -> None:
    """A new option has to be added to what makes a task more than plain."""
    carried: list[Task] = []
    manager = object.__new__(QueueManager)

    async def carry(task: Task) -> str:
        carried.append(task)
        return "id"

    manager.carry = carry  # type: ignore[method-assign]
    said: dict[str, Any] = {option: SAID[option]}

    await manager.enqueue_task("work", **said)

    assert carried[0] != Task(name="work")
