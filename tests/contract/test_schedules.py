"""What every store of schedules promises: each firing once, whoever looks after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.broker_place import CONFIG, QUEUE, Party, died, done

from quorate.core.clock import Chance
from quorate.core.events import Event
from quorate.core.lifecycle import Tasks
from quorate.queue.events import FiringsMissed, ScheduleFired, ScheduleUnreadable
from quorate.queue.model import Task, TaskState
from quorate.queue.producer import Producer
from quorate.queue.schedule import Schedule, ScheduleRecord, read, written
from quorate.queue.scheduler import IDLE_LOOK_S, LOOK_S, Bench, Scheduler
from quorate.queue.timetable import Every
from quorate.wire.redis import Wire, open_wire

STEP_S = 3600.0


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


class Keeper:
    """One process that looks after schedules."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.party = Party(wire, name)
        self.store = self.party.place.schedules
        self.events: list[Event] = []
        producer = Producer(
            lambda _queue: self.party.broker, CONFIG, Tasks(), wire.clock
        )
        bench = Bench(name, producer.pack, self.events.append, wire.clock, Chance(1))
        self.scheduler = Scheduler(bench)
        self.scheduler._stores[QUEUE] = self.store

    async def tick(self) -> float:
        self.scheduler.wake()
        return await self.scheduler.tick()

    async def puts(self, name: str = "tidy", *, ago_s: float = 1.0, **rules) -> None:
        """A schedule that has been due for a while."""
        now = (await self.store.one(name)).now
        task = Task(name="task", payload=name, queue=QUEUE)
        schedule = Schedule(name=name, timetable=Every(STEP_S), task=task, **rules)
        record = ScheduleRecord(schedule, due=now - ago_s, by="test")
        await self.store.move(name, b"", written(record), record.due)

    async def record(self, name: str = "tidy") -> ScheduleRecord:
        ((words, _),) = (await self.store.one(name)).records
        return read(words)

    async def depth(self) -> int:
        return (await self.party.broker.stats()).depth

    def heard(self, kind: type[Event]) -> list:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def ann(wire: Wire) -> Keeper:
    return Keeper(wire, "ann")


@pytest.fixture
def bob(wire: Wire) -> Keeper:
    return Keeper(wire, "bob")


async def test_what_is_due_is_put_in_and_moves_on(ann):
    await ann.puts(late_s=STEP_S)

    rest_s = await ann.tick()

    record = await ann.record()
    (lease,) = await ann.party.takes()
    assert lease.id == record.last
    assert (record.fired, record.by) == (1, "ann:1")
    assert (await ann.store.due(10)).records == ()
    assert rest_s < 1.0
    assert await ann.tick() <= LOOK_S + 0.1


async def test_nothing_to_look_after_costs_next_to_nothing(ann):
    assert await ann.tick() >= IDLE_LOOK_S / 2


async def test_any_number_of_keepers_fire_once(wire):
    keepers = [Keeper(wire, f"k{number}") for number in range(8)]
    names = [f"s{number}" for number in range(20)]
    for name in names:
        await keepers[0].puts(name)

    for _ in range(3):
        await asyncio.gather(*(keeper.tick() for keeper in keepers))

    stories = [event for keeper in keepers for event in keeper.heard(ScheduleFired)]
    assert sorted(story.schedule for story in stories) == sorted(names)
    assert sum(story.tasks for story in stories) == await keepers[0].depth() == 20


async def test_even_unguarded_a_firing_is_one_task(ann, bob):
    """Its id follows from the schedule and the moment, whoever decides."""
    await ann.puts()
    ((words, _),) = (await ann.store.due(1)).records

    ids = {keeper.scheduler._parcel(read(words), 1.0).id for keeper in (ann, bob)}

    assert len(ids) == 1


async def test_a_firing_that_was_lost_on_the_way_is_repeated_and_counts_once(ann):
    """The script ran, its answer did not arrive: the caller sends it again."""
    await ann.puts()
    ((words, _),) = (await ann.store.due(1)).records
    parcels = [ann.scheduler._parcel(read(words), 1.0)]
    after = written(replace(read(words), by="ann:1"))

    first = await ann.store.move("tidy", words, after, None, parcels)
    again = await ann.store.move("tidy", words, after, None, parcels)

    assert (first.is_ours, first.put_in) == (True, 1)
    assert (again.is_ours, again.put_in) == (True, 0)
    assert await ann.depth() == 1


async def test_a_task_that_is_not_over_keeps_the_next_from_firing(ann):
    await ann.puts()
    await ann.tick()
    record = await ann.record()
    overdue = replace(record, due=record.due - STEP_S)
    await ann.store.move("tidy", written(record), written(overdue), overdue.due)

    ((_, is_busy),) = (await ann.store.due(1)).records
    await ann.tick()

    assert is_busy
    assert (await ann.record()).skipped == 1
    assert [event.skipped for event in ann.heard(FiringsMissed)] == [1]
    assert await ann.depth() == 1


async def test_a_task_that_was_set_aside_does_not_hold_the_next_up(ann):
    await ann.puts()
    await ann.tick()
    await ann.party.settles(*map(died, await ann.party.takes()))

    ((_, is_busy),) = (await ann.store.one("tidy")).records

    assert not is_busy


async def test_the_end_of_the_last_task_is_seen(ann):
    await ann.puts()
    await ann.tick()
    (lease,) = await ann.party.takes()

    before = (await ann.store.one("tidy")).records[0][1]
    await ann.party.settles(done(lease))

    assert before
    assert not (await ann.store.one("tidy")).records[0][1]
    found = await ann.party.place.results.find(lease.id)
    assert found.state is TaskState.DONE


async def test_a_task_of_a_schedule_may_rest_after_its_firing(ann):
    now = (await ann.store.one("x")).now
    task = Task(name="task", queue=QUEUE, delay_s=60.0)
    schedule = Schedule(name="tidy", timetable=Every(STEP_S), task=task)
    record = ScheduleRecord(schedule, due=now - 1.0, by="test")
    await ann.store.move("tidy", b"", written(record), record.due)

    await ann.tick()

    assert (await ann.party.broker.stats()).scheduled == 1
    explained = await ann.party.place.admin.explain((await ann.record()).last)
    assert explained.state is TaskState.SCHEDULED


async def test_a_removed_schedule_is_gone(ann, bob):
    await ann.puts()
    ((words, _),) = (await ann.store.one("tidy")).records

    assert (await bob.store.move("tidy", words, b"", None)).is_ours
    assert not (await ann.store.move("tidy", words, words + b" ", 1.0)).is_ours

    assert (await ann.store.all()).records == ()
    await ann.tick()
    assert await ann.depth() == 0


async def test_a_record_that_nobody_understands_is_left_alone_and_told_once(ann):
    await ann.store.move("strange", b"", b"\nfrom the future", 0.0)
    await ann.puts()

    for _ in range(3):
        rest_s = await ann.tick()

    assert rest_s >= LOOK_S
    assert len(ann.heard(ScheduleUnreadable)) == 1
    assert await ann.depth() == 1
