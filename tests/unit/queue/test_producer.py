"""Tasks in: checked first, and one call for all of one tick."""

from __future__ import annotations

import asyncio
import math

import pytest
from tests.unit.queue.fakes import FakeBroker

from quorate.core.errors import InvalidInput, OutcomeUnknown, StoreUnavailable
from quorate.core.fence import Fence, enter_fence, leave_fence
from quorate.core.lifecycle import Tasks
from quorate.queue import producer as module
from quorate.queue.context import deadline
from quorate.queue.envelope import read_header
from quorate.queue.guards import Rate, Slot, Unique
from quorate.queue.model import QueueConfig, Task, TaskPriority
from quorate.queue.producer import Producer


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
async def producer(broker, clock):
    tasks = Tasks()
    config = QueueConfig(payload_max_bytes=1000)
    yield Producer(lambda _queue: broker, config, tasks, clock)
    await tasks.close()


async def test_callers_of_one_tick_share_a_call(producer, broker):
    ids = await asyncio.gather(
        *(producer.enqueue(Task(name="work", payload=n)) for n in range(64))
    )

    assert broker.calls == [ids]
    assert producer.enqueued == 64


async def test_a_crowd_is_split_into_calls_of_256(producer, broker):
    await asyncio.gather(*(producer.enqueue(Task(name="work")) for _ in range(600)))

    assert [len(call) for call in broker.calls] == [256, 256, 88]


async def test_many_go_in_their_order(producer, broker):
    ids = await producer.enqueue_many([Task(name="work") for _ in range(600)])

    assert [task for call in broker.calls for task in call] == ids
    assert ids == sorted(ids, key=lambda each: each[:12])


async def test_a_task_for_each_payload_goes_in_like_many_tasks(producer, broker):
    for _ in ("an unknown kind", "a known one"):
        payloads = range(600)
        broker.calls.clear()

        ids = await producer.enqueue_each(
            "work", list(payloads), "default", TaskPriority.LOW
        )

        assert [task for call in broker.calls for task in call] == ids
        assert [len(call) for call in broker.calls] == [256, 256, 88]
        sent = [read_header(broker.envelopes[task_id]) for task_id in ids]
        assert [int(payload) for _, payload in sent] == list(payloads)
        assert {header.name for header, _ in sent} == {"work"}
    assert len(broker.lanes[2]) == 1200
    assert producer.enqueued == 1200


async def test_of_a_faulty_payload_nothing_is_sent(producer, broker):
    await producer.enqueue_each("work", [1], "default", TaskPriority.NORMAL)
    broker.calls.clear()

    with pytest.raises(InvalidInput):
        await producer.enqueue_each("work", [1, {2}], "default", TaskPriority.NORMAL)

    assert broker.calls == []


async def test_calls_are_bounded_in_bytes(producer, broker, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES_IN_A_CALL", 1500)

    await producer.enqueue_many([Task(name="work", payload="x" * 500)] * 5)

    assert [len(call) for call in broker.calls] == [2, 2, 1]


async def test_what_is_asked_for_travels_along(producer, broker, clock):
    task = Task(
        name="work", priority=TaskPriority.LOW, id="mine", timeout_s=2.0, attempts=4,
        expires_s=60.0, deadline_s=90.0, keep_result_s=5.0, is_call=True,
    )  # fmt: skip

    assert await producer.enqueue(task) == "mine"

    header, _ = read_header(broker.envelopes["mine"])
    assert header[:6] == ("work", 2.0, 4, clock.now() + 60, 5.0, True)
    assert header.deadline_at == clock.now() + 90
    assert list(broker.lanes[2]) == ["mine"]


@pytest.mark.parametrize(
    "task",
    [
        Task(name=""),
        Task(name=7),  # type: ignore[arg-type]
        Task(name="work", queue="a\nb"),
        Task(name="work", id=""),
        Task(name="work", id="a\n"),
        Task(name="work", priority="high"),  # type: ignore[arg-type]
        Task(name="work", delay_s=-1),
        Task(name="work", delay_s=math.nan),
        Task(name="work", delay_s=1e12),
        Task(name="work", timeout_s=0),
        Task(name="work", expires_s=math.inf),
        Task(name="work", keep_result_s=-1),
        Task(name="work", attempts=0),
        Task(name="work", payload={1, 2}),
        Task(name="work", payload="x" * 2000),
    ],
)
async def test_a_faulty_task_is_refused_and_nothing_is_sent(producer, broker, task):
    with pytest.raises(InvalidInput):
        await producer.enqueue(task)
    with pytest.raises(InvalidInput):
        await producer.enqueue_many([Task(name="work"), task])

    assert broker.calls == []


async def test_a_server_that_is_away_is_told_to_every_caller(producer, broker):
    broker.away = True

    told = await asyncio.gather(
        *(producer.enqueue(Task(name="work")) for _ in range(3)),
        return_exceptions=True,
    )

    assert [type(error) for error in told] == [StoreUnavailable] * 3
    assert len({id(error) for error in told}) == 3
    assert producer.enqueued == 0


async def test_an_open_outcome_names_the_id_to_repeat_it_with(producer, broker):
    async def silent(parcels, fence):
        raise OutcomeUnknown("no answer")

    broker.enqueue = silent

    with pytest.raises(OutcomeUnknown, match="may or may not") as told:
        await producer.enqueue(Task(name="work", id="mine"))

    assert "task_id='mine'" in told.value.fix


async def test_a_caller_that_is_cancelled_does_not_keep_others_from_theirs(
    producer, broker
):
    first = asyncio.ensure_future(producer.enqueue(Task(name="work")))
    second = asyncio.ensure_future(producer.enqueue(Task(name="work")))
    await asyncio.sleep(0)
    first.cancel()

    assert await second
    assert len(broker.calls[0]) == 2


async def test_closing_cancels_who_waits(broker, clock):
    gate = asyncio.Event()

    async def slow(parcels, fence):
        await gate.wait()

    broker.enqueue = slow
    tasks = Tasks()
    producer = Producer(lambda _queue: broker, QueueConfig(), tasks, clock)
    waiting = asyncio.ensure_future(producer.enqueue(Task(name="work")))
    await asyncio.sleep(0.01)

    await tasks.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_names_are_remembered_up_to_a_limit(producer, monkeypatch):
    monkeypatch.setattr(module, "MOST_NAMES_REMEMBERED", 4)

    for n in range(10):
        producer.pack(Task(name=f"work{n}"))

    assert len(producer._good_names) <= 4


async def test_a_task_inherits_the_deadline_of_the_one_that_enqueues_it(
    producer, broker, clock
):
    ends_at = clock.now() + 5.0
    token = deadline.set(ends_at)

    await producer.enqueue_many(
        [
            Task(name="work", id="none"),
            Task(name="work", id="later", deadline_s=60.0),
            Task(name="work", id="sooner", deadline_s=1.0),
        ]
    )
    deadline.reset(token)

    until = {
        task: read_header(envelope)[0].deadline_at
        for task, envelope in broker.envelopes.items()
    }
    assert until == {"none": ends_at, "later": ends_at, "sooner": clock.now() + 1.0}


async def test_an_error_that_nobody_expected_reaches_every_caller(producer, broker):
    async def broken(parcels, fence):
        raise ZeroDivisionError("no")

    broker.enqueue = broken

    async with asyncio.timeout(1):
        told = await asyncio.gather(
            *(producer.enqueue(Task(name="work")) for _ in range(3)),
            return_exceptions=True,
        )

    assert [type(error) for error in told] == [OutcomeUnknown] * 3
    assert isinstance(told[0].__cause__, ZeroDivisionError)


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_nobody_waits_for_a_call_that_never_began(broker, clock, turns):
    """Stopped before the turn's call was made, before it began, or while it was out."""

    async def silent(parcels, fence):
        await asyncio.Event().wait()

    broker.enqueue = silent
    tasks = Tasks()
    producer = Producer(lambda _queue: broker, QueueConfig(), tasks, clock)
    caller = asyncio.ensure_future(producer.enqueue(Task(name="work")))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)

    await tasks.close()

    with pytest.raises((StoreUnavailable, asyncio.CancelledError)):
        async with asyncio.timeout(1):
            await caller


async def test_tasks_of_one_grant_share_a_call_and_no_other_does(producer, broker):
    fence = Fence("boss", 7, "me.1", "{t}")
    free = asyncio.ensure_future(producer.enqueue(Task(name="work")))
    before = enter_fence(fence)
    fenced = [
        asyncio.ensure_future(producer.enqueue(Task(name="work"))) for _ in range(2)
    ]
    leave_fence(before)

    await asyncio.gather(free, *fenced)

    assert [len(call) for call in broker.calls] == [1, 2]
    assert broker.fences == [None, fence]


async def test_who_finds_the_unique_key_taken_gets_the_id_of_the_other(
    producer, broker
):
    async def answering(parcels, fence):
        return ["first" if parcel.id == "mine" else True for parcel in parcels]

    broker.enqueue = answering
    tasks = [
        Task(name="work", id="mine", unique=Unique("k")),
        Task(name="work", id="b"),
    ]

    assert await asyncio.gather(*map(producer.enqueue, tasks)) == ["first", "b"]
    assert await producer.enqueue_many(tasks) == ["first", "b"]
    assert producer.enqueued == 2


async def test_guards_stand_before_the_envelope(producer, broker):
    await producer.enqueue(Task(name="work", id="a", slot=Slot("user:42")))

    assert broker.envelopes["a"].startswith(b"!s|1|0|user:42\n")


async def test_a_rate_without_a_key_is_refused(producer):
    with pytest.raises(InvalidInput, match="cannot be enqueued"):
        await producer.enqueue(Task(name="work", rate=Rate(5)))
