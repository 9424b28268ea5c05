"""What one look at a schedule comes to: firings, those missed, those that overlap."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from quorate.core.errors import InvalidInput
from quorate.core.ids import born_at
from quorate.queue.guards import Rate, Slot, Unique, UniqueScope
from quorate.queue.model import Task, TaskPriority
from quorate.queue.schedule import (
    Schedule,
    ScheduleRecord,
    begun,
    paused,
    read,
    turn,
    written,
)
from quorate.queue.timetable import Cron, Every

MINUTE = 60.0
NOON = 1_763_640_000.0


def a_schedule(**changes) -> Schedule:
    given = {"name": "tidy", "timetable": Every(MINUTE), "task": Task(name="tidy")}
    return Schedule(**(given | changes))


def a_record(schedule: Schedule | None = None, **changes) -> ScheduleRecord:
    given = {"schedule": schedule or a_schedule(), "due": NOON, "by": "ann"}
    return ScheduleRecord(**(given | changes))


def looked(record: ScheduleRecord, now: float, *, is_busy: bool = False):
    return turn(record, now, "bob", is_busy=is_busy)


def test_a_schedule_begins_with_the_next_moment_of_its_timetable():
    record = begun(a_schedule(), NOON + 1, None, "ann")

    assert (record.due, record.fired, record.by) == (NOON + MINUTE, 0, "ann")


def test_nothing_happens_before_it_is_due():
    came = looked(a_record(), NOON - 0.001)

    assert came.fire == ()
    assert came.record.due == NOON


def test_what_is_due_fires_and_moves_on():
    came = looked(a_record(), NOON + 0.2)

    assert came.fire == (NOON,)
    assert came.record.due == NOON + MINUTE
    assert (came.record.fired, came.record.fired_at, came.record.by) == (1, NOON, "bob")
    assert came.record.last == came.record.schedule.firing_id(NOON)


def test_a_firing_has_the_same_id_wherever_it_is_decided():
    one, same = a_schedule(), a_schedule(missed="all")
    other = a_schedule(name="other")

    assert one.firing_id(NOON) == same.firing_id(NOON)
    assert (
        len({one.firing_id(NOON), one.firing_id(NOON + 1), other.firing_id(NOON)}) == 3
    )
    assert born_at(one.firing_id(NOON + 0.25)) == NOON + 0.25


@pytest.mark.parametrize(
    ("missed", "fired", "left_out"),
    [
        ("skip", [], 5),
        ("once", [4], 4),
        ("all", [0, 1, 2, 3, 4], 0),
    ],
)
def test_firings_that_nobody_saw_to_go_by_the_policy(missed, fired, left_out):
    schedule = a_schedule(missed=missed, overlap="allow", late_s=10.0)

    came = looked(a_record(schedule), NOON + 4 * MINUTE + 30)

    assert came.fire == tuple(NOON + n * MINUTE for n in fired)
    assert came.missed == came.record.missed == left_out
    assert came.record.due == NOON + 5 * MINUTE


@pytest.mark.parametrize(
    ("missed", "fired"), [("skip", [4]), ("once", [4]), ("all", [0, 1, 2, 3, 4])]
)
def test_the_one_that_is_on_time_fires_in_any_case(missed, fired):
    schedule = a_schedule(missed=missed, overlap="allow", late_s=10.0)

    came = looked(a_record(schedule), NOON + 4 * MINUTE + 5)

    assert came.fire == tuple(NOON + n * MINUTE for n in fired)


def test_of_very_many_the_last_are_made_up_for():
    schedule = a_schedule(missed="all", overlap="allow", most=3)

    came = looked(a_record(schedule), NOON + 1_000_000 * MINUTE)

    assert came.fire == tuple(NOON + (999_998 + n) * MINUTE for n in range(3))
    assert came.missed == 247


def test_a_firing_is_left_out_while_the_last_task_is_not_over():
    came = looked(a_record(last="t"), NOON, is_busy=True)

    assert (came.fire, came.skipped, came.record.skipped) == ((), 1, 1)
    assert (came.record.last, came.record.due) == ("t", NOON + MINUTE)


def test_of_several_that_would_overlap_the_latest_fires():
    schedule = a_schedule(missed="all", overlap="skip")

    came = looked(a_record(schedule), NOON + 2 * MINUTE)

    assert (came.fire, came.skipped) == ((NOON + 2 * MINUTE,), 2)


def test_firings_wait_in_line_for_the_end_of_the_one_before():
    schedule = a_schedule(overlap="queue")

    waiting = looked(a_record(schedule, last="t"), NOON, is_busy=True).record
    more = looked(waiting, NOON + MINUTE, is_busy=True).record
    came = looked(more, NOON + MINUTE + 1, is_busy=False)
    after = looked(came.record, NOON + MINUTE + 2, is_busy=True)

    assert more.owed == (NOON, NOON + MINUTE)
    assert more.look_at(NOON + MINUTE + 1) == NOON + MINUTE + 2
    assert (came.fire, came.record.owed) == ((NOON,), (NOON + MINUTE,))
    assert (after.fire, after.record.owed) == ((), (NOON + MINUTE,))


def test_the_line_is_bounded():
    record = a_record(a_schedule(overlap="queue", most=2), last="t")
    skipped = 0
    for n in range(5):
        came = looked(record, NOON + n * MINUTE, is_busy=True)
        record, skipped = came.record, skipped + came.skipped

    assert record.owed == (NOON + 3 * MINUTE, NOON + 4 * MINUTE)
    assert skipped == record.skipped == 3


def test_a_paused_schedule_is_not_looked_at_and_makes_up_for_nothing():
    at_rest = paused(a_record(), NOON, "ann", on=True)
    again = paused(at_rest, NOON + 10 * MINUTE + 1, "ann", on=False)

    assert at_rest.look_at(NOON) is None
    assert looked(at_rest, NOON + MINUTE).fire == ()
    assert (again.due, again.paused) == (NOON + 11 * MINUTE, False)
    assert paused(again, NOON, "bob", on=False) is again


def test_a_known_schedule_keeps_its_history_and_takes_over_what_is_new():
    record = a_record(fired=7, last="t", paused=True)
    new = a_schedule(timetable=Cron("0 3 * * *"))

    assert begun(record.schedule, NOON, record, "bob") is record
    changed = begun(new, NOON, record, "bob")
    assert (changed.fired, changed.last, changed.paused) == (7, "t", True)
    assert changed.due == new.timetable.after(NOON)


def test_a_record_is_read_as_it_was_written():
    task = Task(
        name="tidy", payload={"a": [1, None]}, queue="q", priority=TaskPriority.LOW,
        timeout_s=3.0, delay_s=1.0, service="payments", attempts=2, expires_s=4.0,
        deadline_s=5.0, keep_result_s=6.0, is_call=True,
        unique=Unique("u", UniqueScope.WINDOW, 7.0), slot=Slot("s", 8),
        rate=Rate(9, per_s=10.0, burst=11, key="r"),
    )  # fmt: skip
    untouched = {
        each.name for each in fields(Task) if getattr(task, each.name) == each.default
    }
    assert untouched == {"id", "at", "flow"}, "a new field: is it written, too?"
    schedule = a_schedule(
        task=task, timetable=Cron("0 3 * * *", "Europe/Berlin"), missed="all", most=7
    )
    record = a_record(
        schedule, owed=(1.0, 2.5), last="t", fired_at=4.0, fired=3, missed=2, skipped=1
    )

    assert read(written(record)) == record
    assert read(written(replace(record, last=""))).last == ""
    assert written(record).startswith(b"t\n")


@pytest.mark.parametrize("words", [b"", b"t\n{}", b"t\nnot json", b"\xff", b"t\n[1]"])
def test_a_record_that_cannot_be_understood_is_refused(words):
    with pytest.raises(InvalidInput):
        read(words)


@pytest.mark.parametrize(
    "changes",
    [
        {"missed": "sometimes"},
        {"overlap": "maybe"},
        {"late_s": 0},
        {"most": 0},
        {"most": 251},
        {"name": ""},
        {"name": "n" * 201},
        {"task": Task(name="tidy", id="one")},
        {"task": Task(name="tidy", at=NOON)},
    ],
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(InvalidInput):
        a_schedule(**changes)
