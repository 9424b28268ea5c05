"""What a queue manager offers besides queues: tasks that come again and again."""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import InvalidInput, MissingCapability, OutcomeUnknown
from quorate.core.names import check_name

from .declared import all_declared
from .lookup import Lookup
from .model import DEFAULT_QUEUE, Task
from .producer import Producer
from .schedule import (
    Missed,
    Overlap,
    Schedule,
    ScheduleRecord,
    begun,
    paused,
    read,
    written,
)
from .schedule_store import ScheduleStore
from .scheduler import Scheduler
from .timetable import Cron, Every

MOST_TRIES = 20

Change = Callable[[ScheduleRecord | None, float], ScheduleRecord | None]
"""The record as it is, and the server's time → as it should be; None for gone."""


class Scheduling:
    """Schedules, put down and looked after through this process.

    A schedule lives in the store, in the queue of its task, until it is removed: it
    fires as long as any process with workers, or one that has put it down, is there.
    """

    _lookup: Lookup
    _producer: Producer
    _scheduler: Scheduler

    async def cron(
        self,
        name: str,
        expression: str,
        *,
        task: Task,
        zone: str = "UTC",
        missed: Missed = "once",
        overlap: Overlap = "skip",
    ) -> None:
        """Let `task` be done whenever `expression` says so, in the IANA zone `zone`.

        Put down by many processes it fires once all the same. A known name takes over
        what is new, and keeps its history. See `Cron` for days with an hour too many or
        too few, `Schedule` for `missed`, `overlap` and more, `put_schedule` for all.
        """
        timetable = Cron(expression, zone)
        await self.put_schedule(
            Schedule(
                name=name,
                timetable=timetable,
                task=task,
                missed=missed,
                overlap=overlap,
            )
        )

    async def every(
        self,
        name: str,
        step_s: float,
        *,
        task: Task,
        missed: Missed = "once",
        overlap: Overlap = "skip",
    ) -> None:
        """Let `task` be done in even steps, which are counted from the epoch."""
        timetable = Every(step_s)
        await self.put_schedule(
            Schedule(
                name=name,
                timetable=timetable,
                task=task,
                missed=missed,
                overlap=overlap,
            )
        )

    async def put_schedule(self, schedule: Schedule) -> None:
        """Put a schedule down, or take over what is new in it.

        The first firing is the next that the timetable knows. Raises `InvalidInput`
        before anything is sent, `MissingCapability` where the queue keeps none.
        """
        self._producer.pack(schedule.task)
        queue = schedule.task.queue
        self._lookup.used(queue)

        def change(before: ScheduleRecord | None, now: float) -> ScheduleRecord:
            return begun(schedule, now, before, self._scheduler.sign())

        await self._change(queue, schedule.name, change)
        self._scheduler.look_after([(queue, self._schedules_of(queue))])
        self._scheduler.wake()

    async def schedules(self, queue: str | None = None) -> tuple[ScheduleRecord, ...]:
        """All schedules of a queue, or of all queues of this server, by name."""
        found: list[ScheduleRecord] = []
        for name in (queue,) if queue else await self._lookup.on_server():
            store = self._lookup.place(name).schedules
            if store is not None:
                looked = await store.all()
                found += (read(words) for words, _ in looked.records)
        return tuple(sorted(found, key=lambda record: record.schedule.name))

    async def pause_schedule(self, name: str, queue: str = DEFAULT_QUEUE) -> None:
        """Fire no more until it is resumed. Raises `InvalidInput` if there is none."""
        await self._rest(name, queue, on=True)

    async def resume_schedule(self, name: str, queue: str = DEFAULT_QUEUE) -> None:
        """Fire again. What it would have fired meanwhile is not made up for."""
        await self._rest(name, queue, on=False)
        self._scheduler.wake()

    async def remove_schedule(self, name: str, queue: str = DEFAULT_QUEUE) -> bool:
        """Forget a schedule; its tasks stay. False if there was none."""
        was_there = False

        def change(before: ScheduleRecord | None, _now: float) -> None:
            nonlocal was_there
            was_there = was_there or before is not None

        await self._change(queue, name, change)
        return was_there

    async def _put_declared_schedules(self) -> None:
        """Those of functions that were declared with a timetable."""
        for declared in all_declared():
            if declared.timetable is not None:
                await self.put_schedule(
                    Schedule(
                        name=declared.template.name,
                        timetable=declared.timetable,
                        task=declared.fitting(),
                    )
                )

    async def _rest(self, name: str, queue: str, *, on: bool) -> None:
        def change(before: ScheduleRecord | None, now: float) -> ScheduleRecord:
            if before is None:
                raise InvalidInput(
                    f"There is no schedule {name!r} in {queue}.",
                    "",
                    "Ask schedules() what there is.",
                )
            return paused(before, now, self._scheduler.sign(), on=on)

        await self._change(queue, name, change)

    async def _change(self, queue: str, name: str, change: Change) -> None:
        """Read, decide, write if it is still what was read; again if it is not."""
        store = self._schedules_of(check_name(queue, "queue"))
        check_name(name, "schedule")
        for _ in range(MOST_TRIES):
            looked = await store.one(name)
            words = looked.records[0][0] if looked.records else b""
            before = read(words) if words else None
            after = change(before, looked.now)
            if after is before:
                return
            new = written(after) if after else b""
            look_at = after.look_at(looked.now) if after else None
            moved = await store.move(name, words, new, look_at)
            if moved.is_ours:
                return
        raise OutcomeUnknown(
            f"The schedule {name!r} was not changed.",
            "Others changed it all the time.",
            "Try again.",
        )

    def _schedules_of(self, queue: str) -> ScheduleStore:
        store = self._lookup.place(queue).schedules
        if store is None:
            raise MissingCapability(
                f"The queue {queue} keeps no schedules.",
                "Its backend has no place for them.",
                "Use a queue on Redis.",
            )
        return store
