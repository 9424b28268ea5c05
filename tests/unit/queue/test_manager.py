"""The queue as an application sees it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession
from tests.unit.queue.test_redis import FakeCalls
from tests.unit.queue.test_worker import FakeInbox

from quorate.core.clock import Chance, SystemClock
from quorate.core.errors import (
    InvalidInput,
    MissingCapability,
    QueueError,
    StoreUnavailable,
    UnknownTask,
)
from quorate.queue import door, workforce
from quorate.queue.counts import WorkerTally
from quorate.queue.declared import async_task
from quorate.queue.guards import Rate
from quorate.queue.manager import QueueManager
from quorate.queue.model import (
    QueueConfig,
    QueueType,
    Task,
    TaskPriority,
    TaskState,
)
from quorate.queue.orders import read_orders
from quorate.queue.place import Place
from quorate.queue.ports import Found
from quorate.queue.views import Explanation, QueueStats
from quorate.settings.load import load_settings
from quorate.wire.keys import Keyspace
from quorate.wire.sessions import RedisSessions

CONFIG = QueueConfig(queues=("default", "other"), poll_s=0.05)


@async_task(queue="declared")
async def shout(word: str) -> str:
    return word.upper()


async def work(payload):
    return payload


class FakeAdmin:
    def __init__(self) -> None:
        self.level = 0
        self.paused = False
        self.paused_tasks = []
        self.rates = {}

    async def shed(self, level):
        before, self.level = self.level, level
        return before

    async def pause(self, *, paused, task=""):
        if task:
            self.paused_tasks.append((task, paused))
        else:
            self.paused = paused

    async def limit(self, rate, *, task=""):
        self.rates[task] = rate

    async def explain(self, task_id):
        if task_id != "known":
            return None
        return Explanation(id=task_id, state=TaskState.QUEUED, why="because")


class FakeSweeper:
    def __init__(self) -> None:
        self.rooms = []
        self.looks = []

    def add(self, room):
        self.rooms.append(room)

    def look_in(self, tag, in_s):
        self.looks.append((tag, in_s))


class Stage:
    """A manager whose queues are dictionaries."""

    def __init__(self, heard) -> None:
        self.calls = FakeCalls()
        self.stopped = 0
        wire = SimpleNamespace(
            calls=self.calls,
            keys=Keyspace("t"),
            inbox=FakeInbox(),
            scheme="redis",
            address=SimpleNamespace(shared="redis://shared"),
            sessions=lambda: RedisSessions(self.calls),
        )
        self.backend = SimpleNamespace(
            wire=wire,
            server=wire,
            namespace="t",
            session=FakeSession(),
            sweeper=FakeSweeper(),
            clock=SystemClock(),
            chance=Chance(1),
            emit=heard.emit,
            stop=self._stop,
        )
        self.queue = QueueManager(self.backend, CONFIG)
        self.brokers = {
            name: FakeBroker() for name in ("default", "other", "declared", "late")
        }
        self.admins = {name: FakeAdmin() for name in self.brokers}
        for name, broker in self.brokers.items():
            broker.stats = lambda name=name: self.stats(name)
            self.queue._queues._places[name] = Place(
                name, "{t}", broker, broker, broker, name, self.admins[name]
            )

    async def _stop(self):
        self.stopped += 1

    async def stats(self, name):
        none = dict.fromkeys(TaskPriority, 0)
        return QueueStats(
            queue=name, ready=none, running=none, oldest_age_s=none, scheduled=0,
            dead=0, shed_level=self.admins[name].level, paused=False,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def only_these_are_declared(monkeypatch):
    monkeypatch.setattr(workforce, "all_declared", lambda: (shout,))


@pytest.fixture
async def stage(heard):
    stage = Stage(heard)
    async with stage.queue:
        yield stage


async def test_a_task_is_enqueued_worked_on_and_its_result_fetched(stage):
    await stage.queue.register_task_handler("work", work)
    task = await stage.queue.enqueue_task("work", 7, priority=TaskPriority.HIGH)
    await stage.queue.start_workers(in_process=True)
    broker = stage.brokers["default"]
    async with asyncio.timeout(3):
        while not broker.settled:
            await asyncio.sleep(0.001)
    broker.found[task] = Found(TaskState.DONE, broker.settled[0].move.body)

    assert await stage.queue.result(task) == 7
    counts = stage.queue.counts()
    assert (counts.enqueued_total, counts.done_total, counts.workers) == (1, 1, 0)
    await stage.queue.stop_workers()


async def test_a_declared_task_goes_through_the_open_queue_to_its_own(stage):
    task = await shout("hey")
    await stage.queue.start_workers(in_process=True)
    broker = stage.brokers["declared"]
    async with asyncio.timeout(3):
        while not broker.settled:
            await asyncio.sleep(0.001)

    assert broker.settled[0].move.body == b'"HEY"'
    broker.found[task] = Found(TaskState.DONE, b'"HEY"')
    assert await stage.queue.result(task) == "HEY"


async def test_many_are_enqueued_at_once(stage):
    ids = await stage.queue.enqueue_many(
        [Task(name="work"), Task(name="work", queue="late")]
    )

    assert stage.brokers["default"].calls == [[ids[0]]]
    assert stage.brokers["late"].calls == [[ids[1]]]


async def test_one_is_enqueued_for_each_payload(stage):
    ids = await stage.queue.enqueue_each("work", iter("abc"), queue="late")

    assert stage.brokers["late"].calls == [ids]
    assert "late" in stage.queue._lookup.used_here


async def test_a_task_is_looked_for_in_the_queues_of_this_process(stage):
    stage.brokers["other"].found["a"] = Found(TaskState.RUNNING)
    stage.brokers["late"].found["b"] = Found(TaskState.DONE, b"1")

    assert await stage.queue.state("a") is TaskState.RUNNING
    with pytest.raises(UnknownTask, match="default, other"):
        await stage.queue.state("b")
    assert await stage.queue.state("b", queue="late") is TaskState.DONE
    await stage.queue.enqueue_task("work", queue="late")
    assert await stage.queue.state("b") is TaskState.DONE


async def test_what_a_queue_does_not_know_is_an_error(stage):
    with pytest.raises(UnknownTask):
        await stage.queue.state("x", queue="other")
    with pytest.raises(UnknownTask):
        await stage.queue.explain("x", queue="other")

    async def unknown(task_id):
        return None

    stage.brokers["other"].cancel = unknown
    with pytest.raises(UnknownTask):
        await stage.queue.cancel("x", queue="other")


async def test_a_task_is_cancelled_and_explained(stage):
    assert await stage.queue.cancel("x", queue="other") is TaskState.CANCELLED
    assert (await stage.queue.explain("known", queue="other")).why == "because"


@pytest.mark.parametrize("name", ["", "a\nb", 7])
async def test_bad_names_are_refused(stage, name):
    with pytest.raises(InvalidInput):
        await stage.queue.state(name)
    with pytest.raises(InvalidInput):
        stage.queue.place(name)


async def test_shedding_reaches_every_queue_of_the_process(stage):
    await stage.queue.set_shed(2)
    assert await stage.queue.shed_level() == 2

    await stage.queue.set_shed(0, queue="other")

    assert (stage.admins["default"].level, stage.admins["other"].level) == (2, 0)


async def test_a_queue_is_paused_and_resumed(stage):
    await stage.queue.pause("other")
    assert stage.admins["other"].paused

    await stage.queue.resume("other")

    assert not stage.admins["other"].paused
    assert not stage.admins["default"].paused


async def test_tasks_of_one_name_are_paused_resumed_and_limited(stage):
    await stage.queue.pause("other", task="mail")
    await stage.queue.resume("other", task="mail")
    await stage.queue.set_rate(Rate(5), queue="other", task="mail")
    await stage.queue.set_rate(None)

    other = stage.admins["other"]
    assert (other.paused_tasks, other.paused) == (
        [("mail", True), ("mail", False)],
        False,
    )
    assert other.rates == {"mail": Rate(5)}
    assert stage.admins["default"].rates == {"": None}


async def test_the_dead_letters_of_the_default_queue_are_at_hand(stage):
    assert stage.queue.dead_letters == "default"
    assert (await stage.queue.stats("other")).queue == "other"


async def test_missed_messages_make_everybody_look(stage):
    await stage.queue.start_workers(in_process=True)
    stage.backend.wire.inbox.resync[0]()
    asked = len(stage.brokers["default"].requests)

    async with asyncio.timeout(3):
        while len(stage.brokers["default"].requests) == asked:
            await asyncio.sleep(0.001)


async def test_workers_are_started_once(stage):
    await stage.queue.start_workers(in_process=True)

    with pytest.raises(InvalidInput, match="started already"):
        await stage.queue.start_workers(2)
    stage.queue.hurry()


@pytest.mark.parametrize("count", [0, -1, True, 5000])
async def test_a_number_of_workers_that_is_none_is_refused(stage, count):
    with pytest.raises(InvalidInput, match="cannot be started"):
        await stage.queue.start_workers(count)


async def test_memory_lives_in_one_process(stage):
    stage.backend.wire.scheme = "memory"

    with pytest.raises(MissingCapability, match="memory://"):
        await stage.queue.start_workers(1)


async def test_a_closure_is_refused_before_a_process_is_started(stage):
    await stage.queue.register_task_handler("work", lambda payload: payload)

    with pytest.raises(InvalidInput, match="in_process=True"):
        await stage.queue.start_workers(1)
    assert stage.queue.worker_pids == ()


class FakeSupervisor:
    made: FakeSupervisor

    def __init__(self, orders, patience, bury, tools, lookout) -> None:
        self.orders, self.patience, self.bury = orders, patience, bury
        self.pids = (11, 12)
        self.fails = False
        FakeSupervisor.made = self

    async def start(self, count):
        if count == 13:
            raise QueueError("no luck")

    async def stop(self):
        self.pids = ()

    def rows(self):
        return {}

    def tally(self):
        return WorkerTally(done_total=4, running=1)


async def test_children_get_their_orders(stage, monkeypatch):
    monkeypatch.setattr(workforce, "Supervisor", FakeSupervisor)
    stage.queue.outfit(lambda: {"urls": {}})
    await stage.queue.register_task_handler("work", work, timeout_s=2.0)

    await stage.queue.start_workers(2, prepare=["app:begin"])

    orders = read_orders(FakeSupervisor.made.orders, None)
    assert (orders.url, orders.namespace) == ("redis://shared", "t")
    assert {each.name for each in orders.handlers} >= {"work", shout.template.name}
    assert (orders.prepare, orders.outfit) == (("app:begin",), {"urls": {}})
    assert stage.queue.worker_pids == (11, 12)
    assert stage.queue.counts().done_total == 4
    await stage.queue.stop_workers()
    assert stage.queue.counts().done_total == 4


async def test_who_gives_up_starting_leaves_no_worker_behind(stage, monkeypatch):
    class Slow(FakeSupervisor):
        async def start(self, count):
            await asyncio.sleep(60)

    monkeypatch.setattr(workforce, "Supervisor", Slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stage.queue.start_workers(2)

    assert Slow.made.pids == ()
    assert stage.queue.worker_pids == ()


async def test_workers_that_did_not_start_may_be_started_again(stage, monkeypatch):
    monkeypatch.setattr(workforce, "Supervisor", FakeSupervisor)

    with pytest.raises(QueueError):
        await stage.queue.start_workers(13)

    await stage.queue.start_workers(1)


async def test_a_dead_child_is_buried_at_once(stage, monkeypatch):
    monkeypatch.setattr(workforce, "Supervisor", FakeSupervisor)
    await stage.queue.start_workers(1)
    stage.calls.replies = [1, [], 1]

    await FakeSupervisor.made.bury("{t}", "s.1")

    assert [asked[0] for asked in stage.calls.asked] == ["wire/end", "SMEMBERS", "SREM"]
    assert stage.backend.sweeper.looks == [("{t}", 0.0)]


async def test_without_a_server_the_burial_is_left_to_the_sweeper(stage, monkeypatch):
    monkeypatch.setattr(workforce, "Supervisor", FakeSupervisor)
    await stage.queue.start_workers(1)

    async def away(*_):
        raise StoreUnavailable("away")

    stage.calls.call = away
    await FakeSupervisor.made.bury("{t}", "s.1")

    assert stage.backend.sweeper.looks == [("{t}", 15.0)]


async def test_the_sweeper_is_shown_the_room(stage):
    (room,) = stage.backend.sweeper.rooms
    assert room.index_key("{t}") == "{t}:j::who"


async def test_a_backend_of_its_own_is_stopped_with_it(heard):
    stage = Stage(heard)
    await stage.queue.start()
    stage.queue.owns_backend()

    await stage.queue.stop()

    assert stage.stopped == 1


# -- the door --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "url", "state", "wanted"),
    [
        (QueueType.REDIS, None, None, ("redis://elsewhere:1", "")),
        ("redis://h", None, None, ("redis://h", "")),
        (QueueType.RABBITMQ, None, None, ("amqp://rabbit/", "")),
        (QueueType.RABBITMQ, "amqp://h", None, ("amqp://h", "")),
        ("amqps://h", None, "redis://s", ("amqps://h", "redis://s")),
    ],
)
def test_the_door_finds_the_addresses(kind, url, state, wanted):
    environ = {"REDIS_URL": "redis://elsewhere:1", "RABBITMQ_URL": "amqp://rabbit/"}

    found = door._addresses(kind, url, state, load_settings(environ=environ))

    assert found == wanted


@pytest.mark.parametrize(
    ("kind", "url", "state"),
    [
        (QueueType.REDIS, "amqp://h", None),
        (QueueType.RABBITMQ, "redis://h", None),
        ("redis://h", None, "redis://s"),
    ],
)
def test_the_door_refuses_what_does_not_go_together(kind, url, state):
    with pytest.raises(InvalidInput):
        door._addresses(kind, url, state, load_settings(environ={}))


async def test_what_is_not_given_comes_from_the_settings(monkeypatch, heard):
    made = {}

    class FakeBackend:
        def __init__(self, url, settings, emit) -> None:
            made.update(url=url)
            stage = Stage(heard)
            self.__dict__.update(stage.backend.__dict__)
            del self.stop

        async def start(self):
            made["started"] = True

        async def stop(self):
            made["stopped"] = True

    monkeypatch.setattr(door, "backend_for", FakeBackend)
    settings = load_settings(environ={"REDIS_URL": "redis://elsewhere:1"})

    async with await door.get_queue_manager(settings=settings) as queue:
        assert queue.config.queues == ("default", "high_priority", "low_priority")
        assert queue.config.concurrency == settings.queue.concurrency
        assert made["url"] == "redis://elsewhere:1"
        assert made["started"]
    assert made["stopped"]
