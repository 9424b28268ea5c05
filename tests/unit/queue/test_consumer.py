"""The pump between server and tasks."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession, a_desk

from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Tasks
from quorate.queue.consumer import Consumer
from quorate.queue.events import (
    CompletionRefused,
    QueueCutOff,
    QueueReached,
    ShedChanged,
    TaskDied,
    TasksStranded,
)
from quorate.queue.handlers import Handlers
from quorate.queue.model import MoveKind, QueueConfig
from quorate.queue.patience import RetryPolicy
from quorate.queue.ports import RollAnswer
from quorate.queue.roll_caller import RollCaller
from quorate.queue.running import Stop
from quorate.resilience.backoff import constant

CONFIG = QueueConfig(
    concurrency=8,
    reserved_for_high=0,
    poll_s=0.05,
    retry=RetryPolicy(1, constant(0.01)),
)


class Stage:
    """One consumer at a dictionary for a server."""

    def __init__(self, heard, clock, config: QueueConfig = CONFIG) -> None:
        self.broker = FakeBroker()
        self.session = FakeSession()
        self.handlers = Handlers()
        self.tasks = Tasks(heard.emit)
        self.clock = clock
        self.desk = a_desk(self.broker, self.session, heard.emit, clock, config)
        self.consumer = Consumer(self.desk, self.handlers, self.tasks)
        self.gate = asyncio.Event()
        self.running = 0
        self.most = 0
        self.handlers.add("work", self.work)

    async def work(self, payload):
        """Waits at the gate if it is told to; fails if it is told to."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if payload == "wait":
                await self.gate.wait()
            if payload == "fail":
                raise RuntimeError("no")
        finally:
            self.running -= 1

    async def until(self, holds, within_s=3.0) -> None:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.001)

    async def settled(self, count: int) -> None:
        await self.until(lambda: len(self.broker.settled) >= count)


@pytest.fixture
async def stage(heard, clock):
    stage = Stage(heard, clock)
    yield stage
    await stage.tasks.close()
    stage.consumer.running.close()


async def test_tasks_are_claimed_run_and_settled(stage):
    ids = [stage.broker.put(f"t{n}") for n in range(20)]
    stage.consumer.start()

    await stage.settled(20)

    assert stage.broker.moves(MoveKind.DONE) == ids
    tally = stage.consumer.tally
    assert (tally.claimed, tally.done, tally.stale) == (20, 20, 0)


async def test_never_more_than_its_places_are_taken(stage):
    for n in range(30):
        stage.broker.put(f"t{n}", "wait")
    stage.consumer.start()

    await stage.until(lambda: stage.running == 8)
    stage.gate.set()
    await stage.settled(30)

    assert stage.most == 8
    assert max(request.slots.total for request in stage.broker.requests) == 8


async def test_what_ends_together_leaves_with_one_exchange(stage):
    for n in range(8):
        stage.broker.put(f"t{n}", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 8)
    before = len(stage.broker.requests)
    stage.gate.set()

    await stage.settled(8)

    sizes = [len(request.finished) for request in stage.broker.requests[before:]]
    assert sizes[0] == 8


async def test_numbers_grow_by_one_with_each_exchange(stage):
    for n in range(20):
        stage.broker.put(f"t{n}")
    stage.consumer.start()
    await stage.settled(20)

    numbers = [r.number for r in stage.broker.requests if r.exchanger == 0]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_two_exchanges_share_many_places(heard, clock):
    config = QueueConfig(concurrency=128, reserved_for_high=0, poll_s=0.05)
    stage = Stage(heard, clock, config)
    gate = asyncio.Event()
    exchange = stage.broker.exchange

    async def slow(request):
        if request.exchanger == 0 and request.finished:
            await gate.wait()
        return await exchange(request)

    stage.broker.exchange = slow
    for n in range(200):
        stage.broker.put(f"t{n}")
    stage.consumer.start()

    await stage.until(lambda: any(r.exchanger == 1 for r in stage.broker.requests))
    gate.set()
    await stage.settled(200)

    second = next(r for r in stage.broker.requests if r.exchanger == 1)
    assert 0 < second.slots.total <= 64
    await stage.tasks.close()


async def test_two_share_them_with_places_kept_for_urgent_tasks_too(heard, clock):
    """Those stay free whatever comes, which does not mean that there is little."""
    config = QueueConfig(concurrency=128, reserved_for_high=0.1, poll_s=0.05)
    stage = Stage(heard, clock, config)
    gate = asyncio.Event()
    exchange = stage.broker.exchange

    async def slow(request):
        if request.exchanger == 0 and request.finished:
            await gate.wait()
        return await exchange(request)

    stage.broker.exchange = slow
    for n in range(300):
        stage.broker.put(f"t{n}")
    stage.consumer.start()

    await stage.until(lambda: any(r.exchanger == 1 for r in stage.broker.requests))
    gate.set()
    await stage.settled(300)
    await stage.tasks.close()


async def test_a_ring_brings_work_at_once(stage):
    stage.consumer.start()
    await stage.until(lambda: stage.broker.requests)
    asked = len(stage.broker.requests)
    stage.broker.put("t")

    stage.consumer.ring()

    await stage.settled(1)
    ring = stage.broker.requests[asked]
    assert ring.upkeep
    assert not ring.bell.was_listed


async def test_an_idle_worker_looks_now_and_then_and_hangs_up_its_bell(stage):
    stage.consumer.start()

    await stage.until(lambda: len(stage.broker.requests) >= 3)

    assert all(request.bell.wanted for request in stage.broker.requests)
    assert stage.broker.requests[-1].bell.was_listed


async def test_a_busy_worker_takes_its_bell_down(stage):
    stage.consumer.start()
    await stage.until(lambda: stage.broker.requests)
    for n in range(9):
        stage.broker.put(f"t{n}", "wait")
    stage.consumer.ring()
    await stage.until(lambda: stage.running == 8)
    stage.gate.set()
    await stage.settled(9)

    full = next(r for r in stage.broker.requests if r.slots.total == 8 and r.number > 1)
    assert full.bell.wanted


async def test_it_wakes_when_a_delayed_task_is_due(heard, clock):
    stage = Stage(heard, clock, QueueConfig(concurrency=8, poll_s=60.0))
    stage.broker.due_in_s = 0.02
    stage.consumer.start()

    await stage.until(lambda: len(stage.broker.requests) >= 3)

    await stage.tasks.close()


async def test_a_failed_task_that_died_is_told_when_the_server_has_it(stage, heard):
    stage.broker.put("t", "fail")
    stage.consumer.start()

    died = await heard(TaskDied, task_id="t")

    assert (died.task, died.reason, died.queue) == ("work", "exhausted", "q")
    assert stage.consumer.tally.dead == 1


async def test_what_cannot_be_read_dies_without_a_name(stage, heard):
    stage.broker.put("t")
    stage.broker.envelopes["t"] = b"\xff"
    stage.consumer.start()

    assert (await heard(TaskDied)).task == ""


async def test_an_unanswered_exchange_is_sent_again_as_it_was(stage, heard):
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    stage.broker.away = True
    stage.gate.set()
    await heard(QueueCutOff)
    sent = stage.consumer._exchangers[0]._open

    stage.broker.away = False
    await stage.settled(1)

    assert sent in stage.broker.requests
    assert heard.count(QueueCutOff) == heard.count(QueueReached) == 1


async def test_without_a_session_nothing_is_claimed_until_there_is_one(stage, heard):
    stage.session.away = True
    stage.broker.put("t")
    stage.consumer.start()
    await heard(QueueCutOff)
    assert stage.broker.requests == []

    stage.session.away = False

    await stage.settled(1)


async def test_a_lost_session_stops_its_tasks_and_goes_on_under_another(stage, heard):
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)

    lost = stage.session.lose()
    stage.consumer.lost(lost)
    await stage.until(lambda: stage.running == 0)
    stage.broker.put("u")
    stage.consumer.ring()
    await stage.settled(1)

    assert stage.broker.moves(MoveKind.DONE) == ["u"]
    assert stage.broker.settled[0].lease.session == "p.2"


async def test_a_completion_after_the_session_is_counted_as_refused(stage, heard):
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)

    stage.session.lose()
    stage.gate.set()
    await heard(CompletionRefused, tasks=1)

    assert stage.consumer.tally.stale == 1
    assert stage.broker.settled == []


async def test_a_server_that_calls_the_session_dead_is_believed(stage, heard):
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    stage.broker.dead_sessions.add("p.1")
    stage.gate.set()

    await heard(CompletionRefused, tasks=1)
    stage.session.lose()
    stage.broker.put("u")

    await stage.settled(1)
    assert stage.broker.moves(MoveKind.DONE) == ["u"]


async def test_claims_for_a_session_that_ended_meanwhile_are_not_run(stage):
    exchange = stage.broker.exchange

    async def late(request):
        answer = await exchange(request)
        if answer.leases:
            stage.session.lose()
        return answer

    stage.broker.exchange = late
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: "t" in stage.broker.owners)
    await stage.until(lambda: len(stage.broker.requests) > 2)

    assert stage.most == 0


async def test_a_changed_shed_level_is_told(stage, heard):
    stage.consumer.start()
    await stage.until(lambda: stage.broker.requests)
    stage.broker.shed = 2
    stage.consumer.ring()

    await heard(ShedChanged, level_was=0, level_is=2)


async def test_draining_claims_nothing_and_gives_back_what_comes(stage):
    gate = asyncio.Event()
    exchange = stage.broker.exchange

    async def slow(request):
        answer = await exchange(request)
        if answer.leases:
            await gate.wait()
        return answer

    stage.broker.exchange = slow
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.broker.owners)

    stage.consumer.drain()
    gate.set()
    await stage.settled(1)

    assert stage.broker.moves(MoveKind.BACK) == ["t"]
    assert stage.most == 0
    await stage.until(lambda: not stage.consumer.is_busy)


async def test_known_tasks_are_all_those_that_are_not_settled(stage):
    stage.broker.put("a", "wait")
    stage.broker.put("b")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1 and stage.broker.settled)

    assert stage.consumer.known == ("a",)
    assert stage.consumer.answered[0] >= 1
    assert stage.consumer.session == "p.1"
    assert stage.consumer.queue == "q"
    stage.broker.away = True
    stage.gate.set()
    await stage.until(lambda: stage.consumer._exchangers[0].unsettled)
    assert stage.consumer.known == ("a",)
    assert stage.consumer.is_busy


# -- suspects --------------------------------------------------------------------------


async def test_a_suspect_runs_alone(stage):
    stage.broker.put("first", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    stage.broker.records["suspect"] = (0, 1, 0)
    stage.broker.put("suspect", "wait")
    stage.broker.put("other", "wait")
    stage.consumer.ring()
    await stage.until(lambda: stage.running == 2)
    stage.gate.set()

    await stage.settled(3)

    assert stage.broker.moves(MoveKind.DONE)[-1] == "suspect"


async def test_of_several_suspects_one_is_kept(stage):
    for name in ("s1", "s2", "s3"):
        stage.broker.records[name] = (0, 1, 0)
        stage.broker.put(name, "wait")
    stage.consumer.start()

    await stage.until(lambda: stage.running == 1)

    assert len(stage.broker.moves(MoveKind.BACK)) == 2
    assert all(not finished.move.delay_s for finished in stage.broker.settled)


async def test_a_suspect_that_is_not_ours_any_more_is_not_run(stage):
    stage.broker.ours = False
    stage.broker.records["s"] = (0, 1, 0)
    stage.broker.put("s")
    stage.consumer.start()
    await stage.until(lambda: "s" in stage.broker.owners)
    await stage.until(lambda: not stage.consumer._quarantine.is_closed)

    assert stage.most == 0


async def test_a_suspect_gets_company_after_a_while(stage):
    stage.broker.records["s"] = (0, 1, 0)
    stage.broker.put("s", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    quarantine = stage.consumer._quarantine

    await stage.clock.advance(9)
    await quarantine.tick()
    assert quarantine.is_closed
    await stage.clock.advance(2)
    await quarantine.tick()

    assert not quarantine.is_closed


async def test_a_suspect_that_cannot_be_alone_goes_elsewhere(stage):
    stage.broker.put("long", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    stage.broker.records["s"] = (0, 1, 0)
    stage.broker.put("s")
    stage.consumer.ring()
    quarantine = stage.consumer._quarantine
    await stage.until(lambda: quarantine.ids == ("s",))
    assert stage.consumer.known == ("long", "s")

    await stage.clock.advance(11)
    await quarantine.tick()
    await stage.settled(1)

    (back,) = stage.broker.settled
    assert (back.move.kind, back.move.delay_s) == (MoveKind.BACK, 5.0)


async def test_a_waiting_suspect_is_given_back_or_forgotten(stage):
    stage.broker.put("long", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    stage.broker.records["s"] = (0, 1, 0)
    stage.broker.put("s")
    stage.consumer.ring()
    quarantine = stage.consumer._quarantine
    await stage.until(lambda: quarantine.ids)

    quarantine.release("another session")
    assert quarantine.ids == ("s",)
    quarantine.release("p.1")
    assert quarantine.ids == ()
    quarantine.release()
    assert stage.broker.settled == []


# -- the roll call ---------------------------------------------------------------------


async def test_the_roll_call_tells_what_is_known_and_what_can_be_done(stage):
    stage.broker.put("t", "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 1)
    caller = RollCaller(stage.desk, stage.consumer, stage.handlers)

    rest_s = await caller.tick()

    (roll,) = stage.broker.rolls
    assert (roll.session, roll.known, roll.names) == ("p.1", ("t",), ("work",))
    assert rest_s == CONFIG.roll_call_s


async def test_a_worker_without_tasks_calls_less_often(stage):
    caller = RollCaller(stage.desk, stage.consumer, stage.handlers)

    assert await caller.tick() == 3 * CONFIG.roll_call_s


async def test_what_the_server_does_not_know_is_stopped(stage, heard):
    for name in ("lost", "unwanted", "kept"):
        stage.broker.put(name, "wait")
    stage.consumer.start()
    await stage.until(lambda: stage.running == 3)
    stage.broker.roll_answer = RollAnswer(
        alive=True,
        returned=2,
        lost=("lost", "long gone"),
        unwanted=("unwanted",),
        names=frozenset({"work", "elsewhere"}),
    )
    caller = RollCaller(stage.desk, stage.consumer, stage.handlers)

    await caller.tick()
    await stage.settled(1)

    assert stage.broker.moves(MoveKind.CANCELLED) == ["unwanted"]
    assert stage.consumer.running.ids == ("kept",)
    assert stage.consumer.running.known_elsewhere == {"elsewhere"}
    assert heard.count(TasksStranded, tasks=2) == 1


async def test_a_roll_call_without_an_answer_is_tried_again(stage):
    stage.broker.away = True
    caller = RollCaller(stage.desk, stage.consumer, stage.handlers)

    assert await caller.tick() == 1.0
    assert stage.consumer.running.stop_all(Stop.LOST) == 0


async def test_a_full_worker_rests_whatever_is_due(stage):
    """What is due cannot begin here; what ends here wakes the exchanger anyway."""
    for n in range(8):
        stage.broker.put(f"t{n}", "wait")
    stage.broker.due_in_s = 0.0
    stage.consumer.start()
    await stage.until(lambda: stage.running == 8)

    assert stage.consumer.rest_s() >= CONFIG.poll_s * 0.9
    stage.gate.set()
    await stage.settled(8)


@pytest.mark.parametrize(
    ("told", "rests_s"),
    [
        ([(0.03, True)], 0.03),
        ([(0.03, True), (0.01, False)], 0.01),
        ([(0.01, True), (0.03, False)], 0.01),
        ([(0.01, True), (None, False)], 0.01),
        ([(0.01, True), (0.02, True)], 0.02),
        ([(0.01, True), (None, True)], CONFIG.poll_s),
    ],
)
async def test_the_soonest_of_what_is_due_counts(stage, told, rests_s):
    """An answer with upkeep knows all that is due, another only what it did itself."""
    for due_in_s, is_all in told:
        stage.consumer._look_forward(due_in_s, is_all=is_all)

    assert stage.consumer.rest_s() == pytest.approx(rests_s, rel=0.11)


class SlowBegin:
    """A server that takes its time to say that a suspect may begin."""

    def __init__(self, stage, *, fails: bool = False) -> None:
        self.asked, self.gate, self.fails = asyncio.Event(), asyncio.Event(), fails
        stage.broker.begin = self.begin
        stage.broker.records["s"] = (0, 1, 0)
        stage.broker.put("s", "wait")
        stage.consumer.start()

    async def begin(self, _lease) -> bool:
        self.asked.set()
        await self.gate.wait()
        if self.fails:
            self.fails = False
            raise StoreUnavailable("away")
        return True


async def test_a_suspect_that_is_about_to_begin_is_known(stage):
    """Else a roll call would give it to another worker, and both would run it."""
    slow = SlowBegin(stage)
    await slow.asked.wait()

    assert stage.consumer.known == ("s",)
    assert stage.consumer.is_busy
    slow.gate.set()
    await stage.until(lambda: stage.running == 1)


async def test_a_suspect_whose_session_is_lost_meanwhile_does_not_begin(stage):
    slow = SlowBegin(stage)
    await slow.asked.wait()

    stage.consumer.lost("p.1")
    slow.gate.set()
    await stage.until(lambda: not stage.consumer._quarantine.is_closed)

    assert stage.most == 0


async def test_a_suspect_that_is_about_to_begin_goes_back_when_we_drain(stage):
    slow = SlowBegin(stage)
    await slow.asked.wait()

    stage.consumer.drain()
    await stage.until(lambda: stage.broker.moves(MoveKind.BACK) == ["s"])
    slow.gate.set()
    await stage.until(lambda: not stage.consumer._quarantine.is_closed)

    assert stage.most == 0


async def test_a_suspect_is_not_forgotten_while_the_server_is_away(stage):
    slow = SlowBegin(stage, fails=True)
    slow.gate.set()

    await stage.until(lambda: stage.running == 1)
