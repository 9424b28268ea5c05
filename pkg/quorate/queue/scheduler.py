"""Looks after schedules: fires what is due, whoever else does so at the same time.

Every worker process has one, and every process that has put a schedule down; none of
them leads. Each looks, decides, and asks the server to write what it has decided; of
those who decided the same the first is taken, and a firing that was lost on the way is
made up for by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quorate.core.clock import Chance, Clock
from quorate.core.errors import OutcomeUnknown, QuorateError, StoreUnavailable
from quorate.core.events import Emit
from quorate.core.failpoint import failpoint
from quorate.core.lifecycle import Duty, Tasks

from .events import FiringsMissed, ScheduleFired, ScheduleUnreadable
from .model import Task
from .ports import Parcel
from .schedule import ScheduleRecord, Turn, read, turn, written
from .schedule_store import ScheduleStore

MOST_AT_ONCE = 50
LOOK_S = 10.0
"""At least so often, in case that somebody has put down a schedule that is due soon."""

AGAIN_S = 0.5
IDLE_LOOK_S = 20.0
"""Where there are no schedules at all; so often one of the queues is looked at."""

APART_S = 0.05
"""Who looks after the same schedules wakes up within so long of each other, not at
once: mostly the first has done it when the others look."""

Pack = Callable[[Task], Parcel]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a scheduler works with. `by` is its name, different from all others'."""

    by: str
    pack: Pack
    emit: Emit
    clock: Clock
    chance: Chance


class Scheduler:
    """A role: one process's look at the schedules of some queues."""

    name = "scheduler"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._stores: dict[str, ScheduleStore] = {}
        self._tasks: Tasks | None = None
        self._duty: Duty | None = None
        self._look_at: dict[str, float] = {}
        self._is_woken = False
        self._turns = 0
        self._strange: set[bytes] = set()
        self.fired = 0

    def look_after(self, stores: Iterable[tuple[str, ScheduleStore | None]]) -> None:
        """From now on these queues, too. Begins to tick with the first."""
        for queue, store in stores:
            if store is not None:
                self._stores[queue] = store
        if self._stores and self._duty is None:
            self._tasks = Tasks(self._bench.emit, self._bench.clock)
            self._duty = self._tasks.employ(self)

    def wake(self) -> None:
        """Something may be due earlier than was known."""
        self._is_woken = True
        if self._duty is not None:
            self._duty.wake()

    async def stop(self) -> None:
        """Look after nothing any more. Twice is harmless."""
        if self._tasks is not None:
            await self._tasks.close()
            self._tasks = self._duty = None

    async def tick(self) -> float:
        """A look at each queue whose time has come. Returns the seconds to the next."""
        clock, is_woken = self._bench.clock, self._is_woken
        self._is_woken = False
        for queue, store in tuple(self._stores.items()):
            if is_woken or clock.monotonic() >= self._look_at.get(queue, 0.0):
                rest_s = await self._look(queue, store)
                self._look_at[queue] = clock.monotonic() + rest_s
        return max(0.0, min(self._look_at.values()) - clock.monotonic())

    async def _look(self, queue: str, store: ScheduleStore) -> float:
        spread_s = APART_S * self._bench.chance.random()
        try:
            looked = await store.due(MOST_AT_ONCE)
            seen_to = [
                await self._see_to(queue, store, words, looked.now, is_busy=is_busy)
                for words, is_busy in looked.records
            ]
        except (StoreUnavailable, OutcomeUnknown):
            return AGAIN_S + spread_s
        if any(seen_to):
            # What they come to next is known only after another look.
            return spread_s
        if looked.next_in_s is None and not looked.records:
            return (
                IDLE_LOOK_S
                * len(self._stores)
                * (0.75 + 0.5 * self._bench.chance.random())
            )
        return min(looked.next_in_s or LOOK_S, LOOK_S) + spread_s

    async def _see_to(
        self,
        queue: str,
        store: ScheduleStore,
        words: bytes,
        now: float,
        *,
        is_busy: bool,
    ) -> bool:
        """Do what is due about one schedule; False if nobody here understands it."""
        try:
            record = read(words)
            came = turn(record, now, self.sign(), is_busy=is_busy)
            parcels = [self._parcel(record, moment) for moment in came.fire]
        except QuorateError as error:
            if words not in self._strange:
                self._strange = {*list(self._strange)[-MOST_AT_ONCE:], words}
                self._bench.emit(ScheduleUnreadable(queue=queue, error=str(error)))
            return False
        after, look_at = came.record, came.record.look_at(now)
        await failpoint("queue.before_a_firing")
        moved = await store.move(
            after.schedule.name, words, written(after), look_at, parcels
        )
        if moved.is_ours:
            self._tell(queue, came, moved.put_in, now)
        return True

    def _tell(self, queue: str, came: Turn, put_in: int, now: float) -> None:
        name = came.record.schedule.name
        self.fired += put_in
        if came.fire:
            late_s = max(0.0, now - came.fire[0])
            fired = ScheduleFired(
                queue=queue, schedule=name, tasks=put_in, late_s=late_s
            )
            self._bench.emit(fired)
        if came.missed or came.skipped:
            self._bench.emit(
                FiringsMissed(
                    queue=queue,
                    schedule=name,
                    missed=came.missed,
                    skipped=came.skipped,
                )
            )

    def sign(self) -> str:
        """A name for one change, different from those of all others."""
        self._turns += 1
        return f"{self._bench.by}:{self._turns}"

    def _parcel(self, record: ScheduleRecord, moment: float) -> Parcel:
        schedule = record.schedule
        parcel = self._bench.pack(schedule.task)
        due = moment + schedule.task.delay_s if schedule.task.delay_s else None
        return parcel._replace(id=schedule.firing_id(moment), delay_s=0.0, at=due)
