"""The worker in a process: starting, draining, and what is given back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession, a_desk

from quorate.core.clock import SystemClock
from quorate.queue.counts import WorkerTally, added_up
from quorate.queue.handlers import Handlers
from quorate.queue.model import MoveKind, QueueConfig
from quorate.queue.patience import RetryPolicy
from quorate.queue.redis.mailbox import Mailbox
from quorate.queue.worker import Worker

CONFIG = QueueConfig(concurrency=4, reserved_for_high=0, poll_s=0.05)


class FakeInbox:
    def __init__(self) -> None:
        self.channels: dict[str, object] = {}
        self.resync: list[object] = []

    def on_resync(self, told):
        self.resync.append(told)
        return lambda: self.resync.remove(told)

    async def subscribe(self, channel, hear):
        self.channels[channel] = hear

    def unsubscribe(self, channel, hear):
        del self.channels[channel]


class Stage:
    def __init__(self, heard) -> None:
        self.broker = FakeBroker()
        self.session = FakeSession()
        self.inbox = FakeInbox()
        self.mailbox = Mailbox(self.inbox, "p")
        self.handlers = Handlers()
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.handlers.add("work", self.work)
        self.worker = Worker(
            self.session, self.mailbox, self.handlers, heard.emit, SystemClock()
        )
        self.desk = a_desk(self.broker, self.session, heard.emit, SystemClock(), CONFIG)

    async def work(self, payload):
        self.begun.set()
        await self.gate.wait()

    async def settled(self, count):
        async with asyncio.timeout(3):
            while len(self.broker.settled) < count:
                await asyncio.sleep(0.001)


@pytest.fixture
async def stage(heard):
    stage = Stage(heard)
    yield stage
    stage.gate.set()
    await stage.worker.stop(0.1)


async def test_a_message_wakes_the_queue_that_it_names(stage):
    await stage.worker.start([stage.desk])
    stage.broker.put("t")
    stage.gate.set()

    stage.inbox.channels["{t}:j:to:p"](b"wnobody")
    stage.inbox.channels["{t}:j:to:p"](b"wq")

    await stage.settled(1)
    assert (stage.worker.queues, stage.worker.channel_in("{t}")) == (
        ("q",),
        "{t}:j:to:p",
    )


async def test_a_message_stops_a_running_task(stage):
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()

    stage.inbox.channels["{t}:j:to:p"](b"cq\nt")

    await stage.settled(1)
    assert stage.broker.moves(MoveKind.CANCELLED) == ["t"]


async def test_a_message_about_a_task_of_that_name_elsewhere_stops_nothing(stage):
    """Whoever gives tasks names of his own may use one in two queues."""
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()

    stage.inbox.channels["{t}:j:to:p"](b"cother\nt")
    stage.gate.set()

    await stage.settled(1)
    assert stage.broker.moves(MoveKind.DONE) == ["t"]


async def test_a_lost_session_reaches_the_queues_of_its_tag(stage):
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()

    stage.session.lose()

    async with asyncio.timeout(3):
        while stage.worker.tally().running:
            await asyncio.sleep(0.001)
    assert stage.broker.settled == []


async def test_stopping_lets_running_tasks_end(stage):
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()
    asyncio.get_running_loop().call_later(0.05, stage.gate.set)

    await stage.worker.stop(5.0)

    assert stage.broker.moves(MoveKind.DONE) == ["t"]
    assert stage.broker.left == ["p.1"]
    assert not stage.worker.is_working
    assert (stage.worker.tally().done_total, stage.worker.tally().running) == (1, 0)


async def test_after_the_grace_what_runs_is_given_back(stage):
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()

    await stage.worker.stop(0.05)

    assert stage.broker.moves(MoveKind.BACK) == ["t"]


async def test_who_is_hurried_does_not_wait_for_the_grace(stage):
    stage.broker.put("t")
    await stage.worker.start([stage.desk])
    await stage.begun.wait()
    asyncio.get_running_loop().call_later(0.05, stage.worker.hurry)

    async with asyncio.timeout(3):
        await stage.worker.stop(60.0)

    assert stage.broker.moves(MoveKind.BACK) == ["t"]


async def test_stopping_without_a_server_ends_all_the_same(stage):
    await stage.worker.start([stage.desk])
    stage.broker.away = True
    stage.session.name_in = lambda _tag: "p.1"

    async with asyncio.timeout(9):
        await stage.worker.stop(0.01)

    assert not stage.worker.is_working


async def test_missed_messages_make_it_look(stage):
    await stage.worker.start([stage.desk])
    stage.gate.set()
    stage.broker.put("t")

    stage.worker.look_again()

    await stage.settled(1)


async def test_counts_go_on_after_a_restart(stage):
    stage.gate.set()
    for turn in (1, 2):
        stage.broker.put(f"t{turn}")
        await stage.worker.start([stage.desk])
        await stage.settled(turn)
        await stage.worker.stop(1.0)

    assert stage.worker.tally().done_total == 2


async def test_retries_beyond_the_budget_are_counted_across_restarts(heard):
    stage = Stage(heard)
    config = replace(CONFIG, retry_share=0.0, retry_floor_per_s=0.0)
    desk = replace(stage.desk, config=config)

    async def fails(payload):
        raise RuntimeError("no")

    stage.handlers.add("broken", fails, retry=RetryPolicy(5))
    for turn in (1, 2):
        stage.broker.put(f"t{turn}", name="broken")
        await stage.worker.start([desk])
        await stage.settled(turn)
        await stage.worker.stop(1.0)

    assert stage.worker.tally().postponed_total == 2
    assert all(each.move.delay_s >= 300 for each in stage.broker.settled)


def test_tallies_are_added_up():
    one = WorkerTally(claimed_total=1, running=1)

    assert added_up((one, one)) == WorkerTally(claimed_total=2, running=2)
    assert added_up(()) == WorkerTally()


async def test_the_mailbox_opens_once_and_hears_of_gaps(heard):
    inbox, gaps = FakeInbox(), []
    mailbox = Mailbox(inbox, "p")
    mailbox.on_gap = lambda: gaps.append(1)

    await mailbox.open("{t}")
    await mailbox.open("{t}")
    await mailbox.open("{u}")
    assert set(inbox.channels) == {"{t}:j:to:p", "{u}:j:to:p"}
    mailbox.hear(b"d\xff")
    mailbox.hear(b"?")
    inbox.resync[0]()
    mailbox.close()
    mailbox.close()

    assert gaps == [1]
    assert (inbox.channels, inbox.resync) == ({}, [])
