"""Tasks that travel over RabbitMQ and are kept in Redis, both of them dictionaries."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.unit.queue.fake_rabbit import FakeRabbit, FakeServer
from tests.unit.queue.fakes import FakeBroker

from quorate.core.errors import StoreUnavailable
from quorate.core.fence import Fence
from quorate.core.lifecycle import Tasks
from quorate.queue.envelope import Header, seal
from quorate.queue.hybrid.broker import HybridBroker
from quorate.queue.hybrid.fetching import Lanes
from quorate.queue.hybrid.queues import HybridQueues
from quorate.queue.hybrid.relay import Relay
from quorate.queue.hybrid.transit import HybridAdmin, HybridResults, Transit
from quorate.queue.lanes import Sight, Slots
from quorate.queue.model import QueueConfig, TaskPriority, TaskState
from quorate.queue.place import Place
from quorate.queue.ports import Audit, Bell, Found, Parcel, Request, RollCall
from quorate.queue.redis.keys import QueueKeys
from quorate.queue.views import Explanation, QueueStats
from quorate.wire.keys import Keyspace

ENVELOPE = seal(Header("task"), 1, 1000)
NORMAL = "t.work.to-redis.normal"


class Way:
    """The notes, as Redis keeps them."""

    def __init__(self) -> None:
        self.going: set[str] = set()
        self.known: set[str] = set()

    async def call(self, script, keys, args):
        if script.name.endswith("set_off"):
            found = []
            for task_id in args:
                is_known, is_going = task_id in self.known, task_id in self.going
                found.append(0 if is_known else 2 if is_going else 1)
                self.going |= set() if is_known else {task_id}
            return found
        was_going = args[0] in self.going
        self.going.discard(args[0])
        return int(was_going)

    async def command(self, name, key, *ids):
        if name == "HEXISTS":
            return int(ids[0] in self.going)
        self.going -= set(ids)
        return len(ids)


class Redis(FakeBroker):
    """A broker that says how deep its lanes are."""

    async def exchange(self, request):
        answer = await super().exchange(request)
        high, normal, low = (len(lane) for lane in self.lanes)
        sight = Sight((high, normal, low)) if request.look else None
        return type(answer)(
            alive=answer.alive, leases=answer.leases, stale=answer.stale, sight=sight
        )

    async def cancel(self, task_id):
        return TaskState.RUNNING if task_id in self.envelopes else None

    async def stats(self):
        none = dict.fromkeys(TaskPriority, 0)
        return QueueStats(
            queue="work", ready={**none, TaskPriority.NORMAL: 1}, running=none,
            oldest_age_s=none, scheduled=0, dead=0, shed_level=0, paused=False,
        )  # fmt: skip


class Stage:
    """One queue and its relay."""

    def __init__(self, clock, emit, ahead=3) -> None:
        self.server = FakeServer()
        self.wire = FakeRabbit(self.server, clock)
        self.redis = Redis()
        self.way = Way()
        self.transit = Transit(self.way, QueueKeys(Keyspace("t"), "work"))
        self.lanes = Lanes(self.wire, "work")
        self.relay = Relay(
            self.wire, self.lanes.shapes, self.redis, self.transit, ahead
        )
        self.tasks = Tasks(emit, clock)
        self.broker = HybridBroker(
            self.redis, self.redis, self.transit, self.lanes, self.relay,
            lambda: self.tasks,
        )  # fmt: skip

    async def puts(self, *ids, delay_s=0.0):
        parcels = [Parcel(each, 1, delay_s, ENVELOPE) for each in ids]
        return await self.broker.enqueue(parcels)

    async def fetches(self):
        """One round of the relay, with all that the broker can send."""
        await self.lanes.ensure()
        if not self.relay.is_working:
            self.relay._duty = SimpleNamespace(wake=lambda: None)
        await self.relay.tick()
        await self.server.settle()
        return await self.relay.tick()

    @property
    def waiting(self) -> int:
        return len(self.server.queues[NORMAL].messages)


@pytest.fixture
async def stage(clock, heard):
    stage = Stage(clock, heard.emit)
    yield stage
    await stage.tasks.close()


def a_request(most=1, *, look=True) -> Request:
    return Request(
        session="s.1", exchanger=0, number=1, finished=(), takes=(most, most, most),
        slots=Slots(most, most), bell=Bell("", wanted=False), look=look,
    )  # fmt: skip


async def test_a_task_is_noted_sent_fetched_and_forgotten(stage):
    assert await stage.puts("a") == [True]
    assert (stage.way.going, stage.waiting) == ({"a"}, 1)

    await stage.fetches()

    assert (stage.way.going, stage.waiting) == (set(), 0)
    assert list(stage.redis.lanes[1]) == ["a"]
    assert not any(c.wire.unsettled for c in stage.wire.consuming.channels)


async def test_an_id_on_its_way_is_sent_again_and_a_known_one_is_not(stage):
    await stage.puts("a")
    stage.way.known.add("b")

    assert await stage.puts("a", "b", "c", "c") == [False, False, True, False]
    assert stage.waiting == 3


async def test_what_is_to_wait_or_is_fenced_goes_to_redis_at_once(stage):
    fence = Fence("lock", 1, "{t}", "s")

    assert await stage.puts("a", delay_s=5.0) == [True]
    assert await stage.broker.enqueue([Parcel("b", 1, 0, ENVELOPE)], fence) == [True]
    mixed = [Parcel("c", 1, 0, ENVELOPE), Parcel("d", 1, 9, ENVELOPE)]
    assert await stage.broker.enqueue(mixed) == [True, True]

    assert set(stage.redis.envelopes) == {"a", "b", "d"}
    assert stage.waiting == 1


async def test_no_more_is_fetched_than_is_needed_soon(stage):
    await stage.puts(*"abcdefg")

    await stage.fetches()
    assert len(stage.redis.lanes[1]) == 3

    stage.relay.taken(1, 2)
    assert await stage.relay.tick() > 0
    assert len(stage.redis.lanes[1]) == 5
    stage.relay.saw(Sight((0, 0, 0)))
    assert await stage.relay.tick() > 0
    assert len(stage.redis.lanes[1]) == 7


async def test_the_relay_begins_with_the_first_claim_and_ends_with_the_worker(stage):
    await stage.puts("a")

    await stage.broker.exchange(a_request())
    assert stage.relay.is_working
    await stage.broker.exchange(a_request(look=False))
    await stage.broker.leave("s.1")

    assert not stage.relay.is_working
    assert stage.redis.left == ["s.1"]
    assert await stage.relay.tick() > 1


async def test_while_redis_is_away_nothing_is_acknowledged(stage):
    await stage.puts("a")
    stage.redis.away = True

    assert await stage.fetches() < 1
    assert sum(len(c.wire.unsettled) for c in stage.wire.consuming.channels) == 1
    stage.redis.away = False
    await stage.relay.tick()

    assert list(stage.redis.lanes[1]) == ["a"]


async def test_while_rabbitmq_is_away_nothing_is_lost(stage):
    await stage.puts("a")
    stage.relay._duty = SimpleNamespace(wake=lambda: None)
    stage.wire.consuming.is_open = False
    assert await stage.relay.tick() < 1
    stage.wire.publishing.is_open = False

    with pytest.raises(StoreUnavailable):
        await stage.puts("b")

    assert "b" in stage.way.going  # asking again sends it


async def test_a_task_on_its_way_is_known_can_be_cancelled_and_is_explained(stage):
    class Admin:
        async def pause(self, *, paused, task=""):
            self.paused = paused

        async def limit(self, rate, *, task=""):
            self.rate = rate

        async def shed(self, level):
            return level

        async def audit(self):
            return Audit(0, ())

        async def explain(self, task_id):
            if task_id != "here":
                return None
            return Explanation(id="here", state=TaskState.DONE, why="")

    results = HybridResults(stage.redis, stage.transit)
    admin = HybridAdmin(Admin(), stage.transit)
    await stage.puts("a")
    stage.redis.found["b"] = Found(TaskState.DONE)

    assert (await results.find("a")).state is TaskState.QUEUED
    assert (await results.find("b")).state is TaskState.DONE
    assert (await results.find("c")).state is None
    assert "RabbitMQ" in (await admin.explain("a")).why
    assert (await admin.explain("here")).state is TaskState.DONE
    assert await admin.explain("c") is None
    assert await admin.shed(2) == 2
    await admin.pause(paused=True)
    await admin.limit(None)
    assert (await admin.audit()).looked_at == 0
    assert await stage.broker.cancel("a") is TaskState.CANCELLED
    assert await stage.broker.cancel("a") is None


async def test_stats_add_what_is_still_with_rabbitmq(stage):
    await stage.puts("a", "b")

    assert (await stage.broker.stats()).ready[TaskPriority.NORMAL] == 3


async def test_queues_that_are_gone_are_made_again(stage):
    await stage.puts("a")
    stage.server.queues.clear()

    await stage.puts("b")

    assert stage.waiting == 1


async def test_the_rest_is_what_redis_does(stage):
    broker = stage.broker

    assert (await broker.roll_call(RollCall("s", [], (0, 0), []))).alive
    assert await broker.begin(None) == stage.redis.ours
    assert await broker.report(None, "x") == stage.redis.ours
    assert (await broker.take_back("s")).left == 0


async def test_places_are_made_once_around_those_of_redis(stage, heard):
    class Inner:
        started = stopped = 0

        def place(self, queue):
            it = stage.redis
            return Place(queue, "{t}", it, it, it, "letters", it)

        async def start(self):
            self.started += 1

        async def stop(self):
            self.stopped += 1

        def mailbox(self, session_id):
            return f"mail {session_id}"

        def index_key(self, tag):
            return f"{tag}:who"

        async def clean(self, tag, session):
            self.cleaned = session

    inner = Inner()
    state = SimpleNamespace(calls=stage.way, keys=Keyspace("t"))
    queues = HybridQueues(inner, state, stage.wire, QueueConfig(), heard.emit)
    await queues.start()
    place = queues.place("work")
    await place.broker.exchange(a_request())

    assert queues.place("work") is place
    assert place.dead_letters == "letters"
    assert (queues.mailbox("s"), queues.index_key("{t}")) == ("mail s", "{t}:who")
    await queues.clean("{t}", "s.1")
    await queues.stop()
    assert (inner.started, inner.stopped, inner.cleaned) == (1, 1, "s.1")
    assert not place.broker.relay.is_working
