"""A task that comes again and again: what is to be done, when, and what if not in time.

The record of a schedule is kept by the server; whoever looks after schedules reads it,
decides here what is to happen, and has it done if the record is still as it was. So any
number of them may look at once. Pure.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.ids import new_task_id
from quorate.core.names import check_name

from .guards import Rate, Slot, Unique, UniqueScope
from .model import PRIORITIES, Task, TaskPriority
from .timetable import Cron, Every

Missed: TypeAlias = Literal["skip", "once", "all"]
"""What becomes of firings that nobody saw to in time: nothing, one task for all of
them (unless one is due just now), or a task for each (the last `most` of them)."""

Overlap: TypeAlias = Literal["skip", "allow", "queue"]
"""What if the task of the firing before is not over yet: no task, one beside it, or one
after it (at most `most` of them wait)."""

LONGEST_NAME = 200
MOST_MADE_UP = 250
LOOK_AGAIN_S = 1.0
"""So often one looks whether a task that others wait for is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`task` whenever `timetable` says so. Each firing is a task with an id of its own.

    A firing counts as missed when it is `late_s` late. `task.queue` is the queue that
    keeps the schedule, too; a delay of the task counts from its firing.
    """

    name: str
    timetable: Cron | Every
    task: Task
    missed: Missed = "once"
    overlap: Overlap = "skip"
    late_s: float = 60.0
    most: int = 100

    def __post_init__(self) -> None:
        check_name(self.name, "schedule")
        faults = []
        if len(self.name.encode()) > LONGEST_NAME:
            faults.append(f"the name has more than {LONGEST_NAME} bytes")
        if self.missed not in get_args(Missed):
            faults.append(f"missed = {self.missed!r}")
        if self.overlap not in get_args(Overlap):
            faults.append(f"overlap = {self.overlap!r}")
        if not 0 < self.late_s < float("inf"):
            faults.append(f"late_s = {self.late_s}")
        if not 1 <= self.most <= MOST_MADE_UP:
            faults.append(f"most = {self.most}")
        if self.task.id is not None or self.task.at is not None:
            faults.append("its task has an id or a time of its own")
        if faults:
            raise InvalidInput(
                f"The schedule {self.name!r} cannot be used.",
                "; ".join(faults),
                "missed is skip, once or all; overlap is skip, allow or queue; late_s "
                f"is above 0, most from 1 to {MOST_MADE_UP}.",
            )

    def firing_id(self, moment: float) -> str:
        """The id of one firing's task: whoever fires it, it is the same."""
        name = f"{self.task.queue}\n{self.name}".encode()
        return new_task_id(moment + 0.0005, lambda n: hashlib.sha256(name).digest()[:n])


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as the server keeps it. Moments are wall time in seconds.

    `due` is the next firing; `owed` are those that wait for the end of task `last`.
    `by` is who wrote it, so that two who do the same are told apart.
    """

    schedule: Schedule
    due: float
    owed: tuple[float, ...] = ()
    last: str = ""
    fired_at: float | None = None
    fired: int = 0
    missed: int = 0
    skipped: int = 0
    paused: bool = False
    by: str = ""

    def look_at(self, now: float) -> float | None:
        """When somebody should look at it next; None while it is paused."""
        if self.paused:
            return None
        return min(self.due, now + LOOK_AGAIN_S) if self.owed else self.due


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look at a schedule comes to: these firings, and the record after it."""

    fire: tuple[float, ...]
    record: ScheduleRecord
    missed: int = 0
    skipped: int = 0


def begun(
    schedule: Schedule, now: float, before: ScheduleRecord | None, by: str
) -> ScheduleRecord:
    """The record of a schedule that is put down now; a known one keeps its history."""
    if before is None:
        return ScheduleRecord(schedule, schedule.timetable.after(now), by=by)
    if before.schedule == schedule:
        return before
    due = schedule.timetable.after(now)
    return replace(before, schedule=schedule, due=due, owed=(), by=by)


def paused(before: ScheduleRecord, now: float, by: str, *, on: bool) -> ScheduleRecord:
    """The same schedule at rest, or at work again: what it slept through is not due."""
    if before.paused == on:
        return before
    due = before.due if on else before.schedule.timetable.after(now)
    return replace(before, paused=on, due=due, owed=(), by=by)


def turn(record: ScheduleRecord, now: float, by: str, *, is_busy: bool) -> Turn:
    """What is to be done about a schedule now. `is_busy`: its last task is not over."""
    schedule = record.schedule
    on_time, missed = _due(record, now)
    fire, owed, skipped = _without_overlap(
        schedule, record.owed, on_time, is_busy=is_busy
    )
    after = replace(
        record,
        due=schedule.timetable.after(now) if record.due <= now else record.due,
        owed=owed,
        last=schedule.firing_id(fire[-1]) if fire else record.last,
        fired_at=fire[-1] if fire else record.fired_at,
        fired=record.fired + len(fire),
        missed=record.missed + missed,
        skipped=record.skipped + skipped,
        by=by,
    )
    return Turn(fire, after, missed, skipped)


def _due(record: ScheduleRecord, now: float) -> tuple[tuple[float, ...], int]:
    """The firings that are to be made up for, and how many are not."""
    schedule, due = record.schedule, record.due
    if record.paused or due > now:
        return (), 0
    # What lies still further back is not even counted. What was due stays due, even if
    # a new edition of the time zones would have it at another moment.
    later = schedule.timetable.latest(math.nextafter(due, math.inf), now, MOST_MADE_UP)
    known = [due, *later][-MOST_MADE_UP:]
    late = [moment for moment in known if moment <= now - schedule.late_s]
    on_time = known[len(late) :]
    once = [] if on_time else late[-1:]
    kept = {"skip": [], "once": once, "all": late}[schedule.missed]
    wanted = [*kept, *on_time][-schedule.most :]
    return tuple(wanted), len(known) - len(wanted)


def _without_overlap(
    schedule: Schedule,
    owed: tuple[float, ...],
    due: tuple[float, ...],
    *,
    is_busy: bool,
) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """What is fired now, what waits, and how many are left out."""
    if schedule.overlap == "allow":
        return (*owed, *due), (), 0
    if schedule.overlap == "queue":
        line = (*owed, *due)
        first, rest = ((), line) if is_busy else (line[:1], line[1:])
        kept = rest[-schedule.most :]
        return first, kept, len(rest) - len(kept)
    first = () if is_busy else due[-1:]
    return first, (), len(due) - len(first)


def written(record: ScheduleRecord) -> bytes:
    """The record as it is kept: the last task's id, and a line of JSON below it."""
    schedule, task = record.schedule, record.schedule.task
    timetable = schedule.timetable
    when: Json = (
        ["cron", timetable.expression, timetable.zone]
        if isinstance(timetable, Cron)
        else ["every", timetable.step_s]
    )
    facts: Json = {
        "name": schedule.name,
        "when": when,
        "rules": [schedule.missed, schedule.overlap, schedule.late_s, schedule.most],
        "task": {
            "name": task.name,
            "queue": task.queue,
            "priority": task.priority.lane,
            "payload": task.payload,
            "delay_s": task.delay_s,
            "timeout_s": task.timeout_s,
            "attempts": task.attempts,
            "expires_s": task.expires_s,
            "deadline_s": task.deadline_s,
            "keep_result_s": task.keep_result_s,
            "is_call": task.is_call,
            "service": task.service,
            **_guard_facts(task),
        },
        "due": record.due,
        "owed": list(record.owed),
        "fired_at": record.fired_at,
        "counts": [record.fired, record.missed, record.skipped],
        "paused": record.paused,
        "by": record.by,
    }
    line = json.dumps(facts, ensure_ascii=True, separators=(",", ":"))
    return f"{record.last}\n{line}".encode()


def read(words: bytes) -> ScheduleRecord:
    """The record again. Raises `InvalidInput` for one that cannot be understood."""
    try:
        last, _, line = words.decode().partition("\n")
        facts = json.loads(line)
        schedule = _schedule(facts)
        fired, missed, skipped = facts["counts"]
        return ScheduleRecord(
            schedule=schedule,
            due=facts["due"],
            owed=tuple(facts["owed"]),
            last=last,
            fired_at=facts["fired_at"],
            fired=fired,
            missed=missed,
            skipped=skipped,
            paused=facts["paused"],
            by=facts["by"],
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(
            "A schedule in the store cannot be understood.",
            f"{type(error).__name__}: {error}",
            "A newer version may have written it: update this process.",
        ) from error


def _guard_facts(task: Task) -> dict[str, Json]:
    unique, slot, rate = task.unique, task.slot, task.rate
    return {
        "unique": unique and [unique.key, unique.scope.value, unique.window_s],
        "slot": slot and [slot.key, slot.limit],
        "rate": rate and [rate.limit, rate.per_s, rate.burst, rate.key],
    }


def _schedule(facts: Json) -> Schedule:
    kind, *words = facts["when"]
    missed, overlap, late_s, most = facts["rules"]
    task: Json = dict(facts["task"])
    unique, slot, rate = (task.pop(what) for what in ("unique", "slot", "rate"))
    priority: TaskPriority = PRIORITIES[task.pop("priority")]
    return Schedule(
        name=facts["name"],
        timetable=Cron(*words) if kind == "cron" else Every(*words),
        task=Task(
            **task,
            priority=priority,
            unique=unique and Unique(unique[0], UniqueScope(unique[1]), unique[2]),
            slot=slot and Slot(*slot),
            rate=rate and Rate(rate[0], per_s=rate[1], burst=rate[2], key=rate[3]),
        ),
        missed=missed,
        overlap=overlap,
        late_s=late_s,
        most=most,
    )
