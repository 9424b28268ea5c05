"""A worker and the services that its tasks need."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession

from quorate.core.clock import Chance
from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Tasks
from quorate.queue.consumer import Consumer
from quorate.queue.desk import Desk
from quorate.queue.events import QueueTuned, TasksHeldBack, TasksTakenUp
from quorate.queue.handlers import Handlers
from quorate.queue.lanes import Sight
from quorate.queue.model import LaneWeights, MoveKind, QueueConfig
from quorate.queue.services import LOOK_S, Usher
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard


@dataclass
class FakeHeld:
    """Satisfies `HeldTasks`."""

    waiting: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    away: bool = False

    async def services(self) -> tuple[str, ...]:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return tuple(self.waiting)

    async def take_up(self, service: str, most: int) -> int:
        return min(most, self.waiting.pop(service, 0))


@pytest.fixture
def up() -> dict[str, bool | None]:
    return {"payments": True}


@pytest.fixture
def held() -> FakeHeld:
    return FakeHeld()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def desk(broker, heard: Heard, clock, up, held) -> Desk:
    return Desk(
        queue="q", tag="{t}", channel="to:p",
        config=QueueConfig(concurrency=4, reserved_for_high=0),
        broker=broker, claims=broker, session=FakeSession(), emit=heard.emit,
        clock=clock, chance=Chance(1), is_up=up.get, held=held,
    )  # fmt: skip


async def done(_payload: None) -> None:
    return None


async def exchanged(consumer: Consumer, broker: FakeBroker, number: int) -> None:
    request = await consumer.next_request(0, number)
    if request is not None:
        consumer.take_in(request, await broker.exchange(request))


async def test_a_task_whose_service_is_down_is_set_aside_unrun(desk, broker, up, heard):
    ran = []
    handlers = Handlers()
    handlers.add("pay", ran.append, service="payments")
    handlers.add("work", ran.append)
    consumer = Consumer(desk, handlers, Tasks())
    up["payments"] = False
    broker.put("a", name="pay")
    broker.put("b", name="work", service="payments")
    broker.put("c", name="work", service="mail")

    await exchanged(consumer, broker, 1)
    await exchanged(consumer, broker, 2)

    assert [(each.lease.id, each.move.kind) for each in broker.settled] == [
        ("a", MoveKind.HELD),
        ("b", MoveKind.HELD),
        ("c", MoveKind.HELD),
    ]
    assert [each.move.body for each in broker.settled] == [
        b"payments",
        b"payments",
        b"mail",
    ]
    assert ran == []
    assert heard.count(TasksHeldBack, service="payments") == 1
    assert consumer.tally.back == 3


async def test_without_anybody_to_ask_a_service_does_not_matter(desk, broker):
    handlers = Handlers()
    handlers.add("pay", done, service="payments")
    consumer = Consumer(replace(desk, is_up=None), handlers, Tasks())
    broker.put("a", name="pay")

    await exchanged(consumer, broker, 1)

    assert len(consumer.running) == 1


async def test_tasks_are_taken_up_when_their_service_is_back(desk, up, held, heard):
    usher = Usher(desk)
    up["payments"] = False
    assert usher.is_away("payments")
    held.waiting = {"payments": 3}
    assert await usher.tick() == LOOK_S
    assert held.waiting

    up["payments"] = True
    await usher.tick()

    assert not held.waiting
    assert heard.all(TasksTakenUp)[0].tasks == 3
    assert not usher.is_away("payments")


async def test_what_others_have_set_aside_is_taken_up_too(desk, held, clock, heard):
    """Whoever did may be dead by now."""
    usher = Usher(desk)
    assert await usher.tick() > 5.0
    held.waiting = {"payments": 2}
    await clock.advance(13.0)

    await usher.tick()

    assert heard.all(TasksTakenUp)[0].tasks == 2
    assert held.asked == 2


async def test_a_server_that_is_away_is_asked_again_soon(desk, held):
    held.away = True

    assert await Usher(desk).tick() == LOOK_S


async def test_a_worker_is_tuned_while_it_works(desk, broker, heard):
    handlers = Handlers()
    handlers.add("work", done)
    consumer = Consumer(desk, handlers, Tasks())
    for number in range(20):
        broker.put(f"t{number}")

    more = replace(desk.config, concurrency=10)
    consumer.tune(more, paused=True)
    assert await consumer.next_request(0, 1) is None
    consumer.tune(more, paused=False)
    consumer.tune(more, paused=False)
    request = await consumer.next_request(0, 1)

    assert request.slots.total == 10
    assert [event.paused for event in heard.all(QueueTuned)] == [True, False]


async def test_fewer_places_are_reached_as_tasks_end(desk, broker):
    handlers = Handlers()
    handlers.add("work", done)
    consumer = Consumer(desk, handlers, Tasks())
    for number in range(4):
        broker.put(f"t{number}")
    await exchanged(consumer, broker, 1)
    assert len(consumer.running) == 4

    consumer.tune(replace(desk.config, concurrency=2), paused=False)

    assert consumer._intake.free().total == 0


async def test_new_weights_hold_from_the_next_exchange_on(desk, broker):
    consumer = Consumer(desk, Handlers(), Tasks())
    consumer._intake._sight = Sight((50, 50, 50))
    config = replace(desk.config, concurrency=21)
    consumer.tune(config, paused=False)
    before = await consumer.next_request(0, 1)
    consumer._intake._asked.clear()

    consumer.tune(replace(config, weights=LaneWeights(1, 1, 1)), paused=False)
    after = await consumer.next_request(0, 2)

    assert (before.takes, after.takes) == ((16, 4, 1), (7, 7, 7))
