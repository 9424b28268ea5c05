"""The queue on RabbitMQ over a broker in dictionaries; a real one is in contract."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest
from tests.unit.queue.fake_rabbit import FakeQueue, FakeRabbit, FakeServer

from quorate.core.clock import Chance
from quorate.core.errors import (
    InvalidInput,
    MissingCapability,
    StoreRefused,
    StoreUnavailable,
)
from quorate.core.ids import new_task_id
from quorate.queue.decide import (
    Failure,
    after_cancel,
    after_failure,
    after_hold,
    after_release,
    after_success,
    dead,
)
from quorate.queue.envelope import Header, seal
from quorate.queue.guards import Rate
from quorate.queue.lanes import Slots
from quorate.queue.model import DeadReason, QueueConfig, RetryPolicy
from quorate.queue.ports import Bell, Finished, Parcel, Request, RollCall
from quorate.queue.rabbit.queues import RabbitQueues
from quorate.queue.rabbit.watchdog import ConsumerRevived, Watchdog
from quorate.queue.views import Which
from quorate.resilience.backoff import constant
from quorate.testing.clock import ManualClock

CONFIG = QueueConfig(retry=RetryPolicy(3, constant(0.01)))
DONE = after_success(b"1", 60.0)
NAME = "t.work.normal"


class Process:
    """One process with a queue on the broker."""

    def __init__(
        self, server: FakeServer, clock: ManualClock, emit, name="ann"
    ) -> None:
        self.wire = FakeRabbit(server, clock)
        self.queues = RabbitQueues(self.wire, CONFIG, emit)
        self.place = self.queues.place("work")
        self.broker = self.place.broker
        self.me = f"{name}.1"
        self.wire.roll.add(self.me)
        self.numbers = count(1)
        self.last: Request | None = None

    async def puts(self, *ids: str, lane: int = 1, delay_s: float = 0.0) -> list[str]:
        ids = ids or (new_task_id(self.wire.clock.now()),)
        envelope = seal(Header("task"), 1, 1000)
        await self.broker.enqueue([Parcel(i, lane, delay_s, envelope) for i in ids])
        return list(ids)

    def request(
        self, most=10, *finished, takes=None, others=None, exchanger=0, bell=""
    ):
        others = most if others is None else others
        return Request(
            session=self.me,
            exchanger=exchanger,
            number=next(self.numbers),
            finished=finished,
            takes=takes or (most, others, others),
            slots=Slots(most, others),
            bell=Bell(bell, wanted=bool(bell)),
            look=True,
        )

    async def exchange(self, most=10, *finished, **how):
        if most:
            await self.broker.reception.belong_to(self.me)
            await self.broker.reception.open()
            await self.wire.server.settle()
        self.last = self.request(most, *finished, **how)
        return await self.broker.exchange(self.last)

    async def takes(self, most=10, **how):
        return list((await self.exchange(most, **how)).leases)

    async def settles(self, *finished):
        return await self.exchange(0, *finished)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def ann(server, clock, heard) -> Process:
    return Process(server, clock, heard.emit)


async def test_a_task_goes_through(ann, server):
    await ann.puts("a", "b")

    leases = await ann.takes()
    answer = await ann.settles(*(Finished(lease, DONE) for lease in leases))

    assert [lease.id for lease in leases] == ["a", "b"]
    assert leases[0].token < leases[1].token
    assert (answer.alive, answer.stale) == (True, ())
    assert not server.queues[NAME].messages
    assert all(not c.wire.unsettled for c in ann.wire.consuming.channels)


async def test_lanes_are_taken_as_asked_and_filled_from_any(ann):
    for lane, amount in enumerate((1, 5, 5)):
        await ann.puts(*(f"{lane}{n}" for n in range(amount)), lane=lane)

    answer = await ann.exchange(6, takes=(4, 1, 1))

    assert [lease.id for lease in answer.leases] == ["00", "10", "20", "11", "12", "13"]
    assert not answer.is_short
    assert answer.sight.depths == (0, 1, 4)


async def test_a_repeated_exchange_gives_the_same_answer_and_an_older_one_nothing(ann):
    await ann.puts("a", "b")
    answer = await ann.exchange(1)
    older = replace(ann.last, number=0)

    assert await ann.broker.exchange(ann.last) is answer
    assert (await ann.broker.exchange(older)).leases == ()


async def test_what_was_not_held_is_stale(ann):
    await ann.puts("a")
    (lease,) = await ann.takes()
    await ann.settles(Finished(lease, DONE))

    assert (await ann.settles(Finished(lease, DONE))).stale == ("a",)


async def test_another_session_has_lost_what_the_first_one_held(ann):
    await ann.puts("a")
    (lease,) = await ann.takes()
    ann.wire.roll.clear()

    answer = await ann.settles(Finished(lease, DONE))
    ann.me = "ann.2"
    ann.wire.roll.add(ann.me)
    (again,) = await ann.takes()

    assert (answer.alive, answer.stale) == (False, ("a",))
    assert (again.id, again.session, again.crashes) == ("a", "ann.2", 0)


@pytest.mark.parametrize("delay_s", [0.0, 5.0])
async def test_a_retry_is_a_copy_with_its_record(ann, delay_s):
    await ann.puts("a")
    (lease,) = await ann.takes()
    policy = CONFIG.retry
    move = after_failure(lease, Failure("no", retry_after_s=delay_s), policy, Chance(1))

    await ann.settles(Finished(lease, move))
    (again,) = await ann.takes()

    assert (again.id, again.failures) == ("a", 1)


async def test_what_needs_a_service_that_is_down_comes_again_as_it_was(ann, server):
    await ann.puts("a")
    (lease,) = await ann.takes()
    failed = after_failure(lease, Failure("no"), CONFIG.retry, Chance(1))
    await ann.settles(Finished(lease, failed))
    (lease,) = await ann.takes()

    await ann.settles(Finished(lease, after_hold(lease, "billing")))
    (again,) = await ann.takes()

    assert (again.id, again.failures) == ("a", 1)


async def test_what_is_cancelled_or_done_is_dropped_when_it_comes_again(ann):
    await ann.puts("a", "b")
    first, second = await ann.takes()
    await ann.settles(Finished(first, DONE), Finished(second, after_cancel(1)))

    await ann.puts("a", "b", "c")

    assert [lease.id for lease in await ann.takes()] == ["c"]


async def test_a_copy_of_what_is_held_is_dropped(ann):
    await ann.puts("a", "a")

    assert [lease.id for lease in await ann.takes()] == ["a"]


async def test_deaths_are_counted_but_for_the_first_and_for_those_survived(
    ann, server, clock, heard
):
    await ann.puts("a")
    message = server.queues[NAME].messages[0]
    server.queues[NAME].messages[0] = replace(message, returns=3)

    (lease,) = await ann.takes()
    ann.wire.consuming.cut()
    ann.me = "ann.2"
    ann.wire.roll.add(ann.me)
    (again,) = await ann.takes()

    assert (lease.crashes, again.crashes) == (2, 2)


async def test_who_has_died_too_often_is_set_aside(ann, server):
    await ann.puts("a")
    message = server.queues[NAME].messages[0]
    server.queues[NAME].messages[0] = replace(message, returns=CONFIG.crash_budget + 1)

    assert await ann.takes() == []

    (letter,) = await ann.place.dead_letters.list()
    assert (letter.id, letter.reason, letter.name) == ("a", "poison", "task")


async def test_who_was_returned_often_without_a_death_gets_a_new_copy(ann, server):
    await ann.puts("a")
    message = server.queues[NAME].messages[0]
    server.queues[NAME].messages[0] = replace(message, returns=12)
    for _ in range(12):
        ann.broker.memory.survived("a", 0)

    assert await ann.takes() == []
    (lease,) = await ann.takes()

    assert (lease.id, lease.crashes) == ("a", 0)


async def test_what_cannot_be_set_aside_waits_for_another_try(ann, server):
    await ann.puts("a")
    message = server.queues[NAME].messages[0]
    server.queues[NAME].messages[0] = replace(message, returns=9)
    await ann.broker.reception.belong_to(ann.me)
    await ann.broker.reception.open()
    await server.settle()
    server.refuses = True

    with pytest.raises(StoreRefused, match="refuses"):
        await ann.exchange(1)
    server.refuses = False

    assert await ann.takes() == []
    assert len(await ann.place.dead_letters.list()) == 1


async def test_what_was_claimed_by_a_call_that_fails_waits_for_another_try(ann, server):
    await ann.puts("a", "b")
    queue = server.queues[NAME]
    queue.messages[0] = replace(queue.messages[0], returns=9)
    await ann.broker.reception.belong_to(ann.me)
    await ann.broker.reception.open()
    await server.settle()
    server.refuses = True
    with pytest.raises(StoreRefused, match="refuses"):
        await ann.exchange(2)
    server.refuses = False

    again = await ann.broker.exchange(ann.last)

    assert [lease.id for lease in again.leases] == ["b"]


async def test_what_runs_is_not_forgotten_when_it_comes_again(ann, server):
    await ann.puts("a")
    (lease,) = await ann.takes()
    for tap in ann.broker.reception.taps:
        await tap.close()

    assert await ann.takes() == []
    assert sum(len(c.wire.unsettled) for c in ann.wire.consuming.channels) == 1

    assert (await ann.settles(Finished(lease, DONE))).stale == ()
    assert not any(c.wire.unsettled for c in ann.wire.consuming.channels)


async def test_a_call_in_the_name_of_a_former_session_claims_nothing(ann, server):
    await ann.puts("a")
    reception, former = ann.broker.reception, ann.me
    await reception.belong_to(former)
    opens, ann.me = reception.open, "ann.2"

    async def open_meanwhile_in_another_name() -> None:
        ann.wire.roll.add(ann.me)
        await reception.belong_to(ann.me)
        await opens()
        await server.settle()

    reception.open = open_meanwhile_in_another_name
    late = await ann.broker.exchange(replace(ann.request(1), session=former))
    reception.open = opens

    assert (late.alive, late.leases) == (False, ())
    assert [lease.id for lease in await ann.takes()] == ["a"]


async def test_nobody_claims_while_the_session_changes(ann, server):
    """Two calls of a new session: the second one waits for what the first one does."""
    await ann.puts("a")
    await ann.takes(0)
    await ann.broker.reception.belong_to("ann.0")
    await ann.broker.reception.open()
    await server.settle()
    taps = ann.broker.reception.taps
    closes, is_closing, go_on = taps[2].close, asyncio.Event(), asyncio.Event()

    async def close_slowly() -> None:
        is_closing.set()
        await go_on.wait()
        await closes()

    taps[2].close = close_slowly
    first = asyncio.create_task(ann.broker.exchange(ann.request(1)))
    await is_closing.wait()
    second = asyncio.create_task(ann.broker.exchange(ann.request(1, exchanger=1)))
    for _ in range(5):
        await asyncio.sleep(0)
    was_done = second.done()
    go_on.set()

    assert not was_done
    assert (await first).alive
    assert (await second).alive


async def test_dead_letters_are_listed_replayed_and_purged(ann):
    await ann.puts("a", "b", "c", lane=2)
    move = {each.id: each for each in await ann.takes()}
    await ann.settles(
        *(
            Finished(lease, dead(lease, DeadReason.GIVEN_UP, "enough"))
            for lease in move.values()
        )
    )
    letters = ann.place.dead_letters

    assert [letter.id for letter in await letters.list(first=1, most=1)] == ["b"]
    assert (await letters.list())[0].error == "enough"
    assert await letters.replay(["a", "nobody"]) == 1
    assert [lease.id for lease in await ann.takes()] == ["a"]
    assert await letters.purge(Which(task="other")) == 0
    assert await letters.purge(Which(reason="given_up"), dry_run=True) == 2
    assert await letters.replay(Which(since=1e12)) == 0
    assert await letters.replay(Which(until=0.0)) == 0
    assert await letters.purge(["b", "nobody"]) == 1
    assert await letters.replay(dry_run=True) == 1
    assert await letters.replay(rate=Rate(1, 5.0)) == 1
    assert await letters.purge() == 0
    with pytest.raises(InvalidInput):
        await letters.purge("b")


async def test_what_the_broker_gave_up_is_described_by_its_headers(ann, server):
    await ann.puts("a")
    (waiting,) = server.queues[NAME].messages
    headers = {"x-first-death-reason": "delivery_limit", "x-death": [{"time": 0}]}
    waiting.properties.headers.update(headers)
    waiting.body = b"\xff"
    server.queues["t.work.dead"].messages.append(waiting)

    (letter,) = await ann.place.dead_letters.list()

    assert (letter.reason, letter.name, letter.died_at) == ("poison", "", 0.0)
    assert "delivery_limit" in letter.error


async def test_to_begin_alone_gives_everything_else_back(ann, server):
    await ann.puts("a", "b", "c")
    first, _ = await ann.takes(2)

    assert await ann.place.claims.begin(first)

    assert [m.properties.message_id for m in server.queues[NAME].messages] == ["c", "b"]
    assert list(ann.broker.reception.held) == [first.token]
    ann.wire.roll.clear()
    assert not await ann.place.claims.begin(first)


async def test_who_leaves_gives_back_what_it_has_not_begun(ann, server):
    await ann.puts("a", "b")
    (lease,) = await ann.takes(1)
    await ann.settles(Finished(lease, after_release(lease)))

    await ann.place.claims.leave(ann.me)

    waiting = server.queues[NAME].messages
    assert [(m.properties.message_id, m.returns) for m in waiting] == [
        ("a", 0),
        ("b", 0),
    ]


async def test_what_finds_no_room_for_long_goes_back(ann, server, clock):
    await ann.puts("a", "b")
    await ann.takes(1)
    await ann.settles()
    await ann.broker.tidy()
    assert not server.queues[NAME].messages

    await clock.advance(6.0)
    await ann.broker.tidy()

    assert len(server.queues[NAME].messages) == 1


async def test_what_cannot_be_given_back_stays(ann, server):
    await ann.puts("a", "b")
    (lease,) = await ann.takes(1)
    server.refuses = True

    with pytest.raises(StoreRefused):
        await ann.place.claims.begin(lease)

    assert ann.broker.reception.depths == (0, 1, 0)


async def test_an_idle_worker_is_rung_when_something_comes(ann, server):
    mailbox = ann.queues.mailbox("ann")
    rung = []
    mailbox.on_work = rung.append
    await mailbox.open("t")
    await ann.exchange(5, bell=mailbox.channel_in("t"))

    await ann.puts("a", "b")
    await server.settle()

    assert rung == ["work"]
    mailbox.close()


async def test_stats_add_up(ann):
    await ann.puts("a", "b", "c")
    await ann.puts("d", lane=0, delay_s=3)
    await ann.takes(1)

    stats = await ann.broker.stats()

    assert (stats.depth, sum(stats.running.values()), stats.scheduled) == (3, 1, 0)


async def test_queues_are_made_again_if_they_are_gone(ann, server):
    await ann.puts("a")
    server.queues.clear()

    await ann.puts("b")

    assert len(server.queues[NAME].messages) == 1


async def test_a_full_queue_is_an_error(ann, server):
    await ann.puts("a")
    server.refuses = True

    with pytest.raises(StoreRefused, match="refuses messages"):
        await ann.puts("b")


async def test_a_queue_of_another_kind_is_an_error(ann, server):
    server.queues["t.work.dead"] = FakeQueue({"x-max-length": 1})

    with pytest.raises(StoreRefused, match="of another kind"):
        await ann.puts("a")


async def test_without_a_connection_nothing_is_sent(ann):
    ann.wire.publishing.is_open = False

    with pytest.raises(StoreUnavailable):
        await ann.puts("a")


async def test_a_channel_that_breaks_gives_the_session_up(ann):
    await ann.takes(1)

    ann.wire.consuming.cut()

    assert ann.me not in ann.wire.roll


async def test_what_cannot_be_done_is_refused(ann):
    claims, admin = ann.place.claims, ann.place.admin
    asked = [
        lambda: ann.broker.cancel("x"),
        lambda: claims.report(None, ""),
        lambda: admin.pause(paused=True),
        lambda: admin.shed(1),
        lambda: admin.limit(None),
        lambda: ann.broker.enqueue([Parcel("x", 1, 0.0, b"!guard")]),
        admin.audit,
        lambda: admin.explain("x"),
        lambda: ann.place.results.find("x"),
    ]
    for ask in asked:
        with pytest.raises(MissingCapability):
            await ask()
    assert (await claims.take_back("x")).tasks == 0
    assert (await claims.roll_call(RollCall(ann.me, [], (0, 0), []))).alive
    assert not (await claims.roll_call(RollCall("x", [], (0, 0), []))).alive


async def test_too_long_attempts_are_refused(server, clock, heard):
    config = QueueConfig(attempt_timeout_s=3600.0)

    with pytest.raises(MissingCapability, match="3600"):
        RabbitQueues(FakeRabbit(server, clock), config, heard.emit)


async def test_the_watchdog_makes_a_forgotten_consumer_anew(ann, server, heard, clock):
    await ann.takes(1)
    server.queues[NAME].consumers.clear()
    await ann.puts("a")
    watchdog = Watchdog(ann.wire, {"work": ann.broker}, heard.emit)

    await clock.advance(16.0)
    assert await watchdog.tick() == 1.0

    event = await heard(ConsumerRevived)
    assert (event.queue, event.waiting) == (NAME, 1)
    await server.settle()
    assert ann.broker.reception.depths == (0, 1, 0)


async def test_the_watchdog_waits_for_a_broker_that_is_away(ann, clock, heard):
    await ann.takes(1)
    ann.wire.publishing.is_open = False
    watchdog = Watchdog(ann.wire, {"work": ann.broker}, heard.emit)
    await clock.advance(16.0)

    assert await watchdog.tick() == 1.0


async def test_a_cancelled_consumer_is_opened_over_a_new_channel(ann, server):
    await ann.takes(1)
    tap = ann.broker.reception.taps[1]
    channels = len(ann.wire.consuming.channels)

    server.queues[NAME].consumers.clear()
    tap._cancelled(None)
    await ann.puts("a")

    assert len(await ann.takes()) == 1
    assert len(ann.wire.consuming.channels) == channels + 1


async def test_a_lane_that_does_not_answer_does_not_stop_the_others(ann, server, clock):
    await ann.puts("a")
    await ann.puts("b", lane=2)
    low = server.queues.pop("t.work.low")

    assert [lease.id for lease in await ann.takes()] == ["a"]
    assert ann.me in ann.wire.roll

    server.queues["t.work.low"] = low
    assert await ann.takes() == []
    await clock.advance(1.5)
    assert [lease.id for lease in await ann.takes()] == ["b"]


async def test_queues_start_and_stop_with_their_watchdog(ann):
    looked = []
    ann.queues._bells.on_resync(lambda: looked.append(1))
    await ann.queues.start()
    ann.wire.consuming.told_open[0]()
    await ann.queues.stop()

    assert looked == [1]
    assert ann.queues.index_key("t") == ""
    await ann.queues.clean("t", "s")
