"""The life of a task: every one that is admitted ends in exactly one move."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from tests.unit.queue.fakes import FakeBroker, FakeSession, a_desk

from quorate.core.errors import InvalidInput, StaleTokenError
from quorate.core.lifecycle import Tasks
from quorate.queue.context import deadline
from quorate.queue.envelope import Header, seal
from quorate.queue.events import TaskTimedOut
from quorate.queue.handlers import Handlers
from quorate.queue.model import Lease, MoveKind, QueueConfig, TaskPriority
from quorate.queue.patience import ErrorRule, RetryPolicy
from quorate.queue.run import Stop
from quorate.queue.running import Running
from quorate.resilience.backoff import constant, exponential
from quorate.testing.failpoints import armed

CONFIG = QueueConfig(
    retry=RetryPolicy(3, constant(0.5)), result_max_bytes=100, attempt_timeout_s=60.0
)


class Stage:
    """Handlers, and what became of the tasks."""

    def __init__(self, heard, clock) -> None:
        self.broker = FakeBroker()
        self.handlers = Handlers()
        self.tasks = Tasks(heard.emit)
        self.finished = []
        self.bell = asyncio.Event()
        self.session = FakeSession()
        self.desk = a_desk(self.broker, self.session, heard.emit, clock, CONFIG)
        self.running = Running(self.desk, self.handlers, self.tasks, self._over)

    def _over(self, finished) -> None:
        self.finished.append(finished)
        self.bell.set()

    def admit(self, payload=None, *, task_id="a", lane=1, failures=0, **header):
        sealed = seal(Header("work", **header), payload, 10_000)
        lease = Lease(task_id, "p.1", 5, lane, sealed, failures)
        self.running.admit(lease)
        return lease

    async def move(self):
        """What became of the one task."""
        async with asyncio.timeout(2):
            await self.bell.wait()
        (finished,) = self.finished
        return finished.move

    def note(self):
        return json.loads(self.finished[0].move.body)


@pytest.fixture
async def stage(heard, clock):
    stage = Stage(heard, clock)
    yield stage
    stage.running.close()
    await stage.tasks.close()


@pytest.mark.parametrize(("is_trusted", "kind"), [(False, "back"), (True, "done")])
async def test_what_a_stalled_process_had_claimed_begins_only_under_a_live_session(
    stage, clock, is_trusted, kind
):
    """The session may have ended meanwhile, and somebody else have the task."""
    begun = []

    async def work(payload):
        begun.append(payload)

    stage.handlers.add("work", work)
    stage.session.trusted_until_ = clock.monotonic() + (1.0 if is_trusted else -1.0)

    stage.admit("payload")
    time.sleep(0.05)  # noqa: ASYNC251 - the event loop stands still

    move = await stage.move()
    assert move.kind is MoveKind(kind)
    assert begun == ["payload"] * is_trusted


async def test_a_result_is_kept(stage):
    async def work(payload):
        return {"got": payload}

    stage.handlers.add("work", work)
    stage.admit(7)

    move = await stage.move()
    assert (move.kind, move.body, move.keep_s) == (
        MoveKind.DONE, b'{"got":7}', CONFIG.result_ttl_s,
    )  # fmt: skip
    assert len(stage.running) == 0


async def test_nothing_is_a_result_too_and_the_task_says_how_long_it_is_kept(stage):
    async def work(payload):
        return None

    stage.handlers.add("work", work)
    stage.admit(keep_result_s=0.0)

    move = await stage.move()
    assert (move.body, move.keep_s) == (b"null", 0.0)


async def test_the_context_tells_of_the_attempt(stage):
    told = {}

    async def work(payload, context):
        told.update(
            id=context.task_id,
            attempt=context.attempt,
            token=context.token,
            priority=context.priority,
            name=context.name,
            queue=context.queue,
            left_s=context.ends_at - asyncio.get_running_loop().time(),
            stop=context.should_stop,
        )

    stage.handlers.add("work", work)
    stage.admit(lane=0, failures=1)
    await stage.move()

    assert 0 < told.pop("left_s") <= 60
    assert told == {
        "id": "a", "attempt": 2, "token": 5, "priority": TaskPriority.HIGH,
        "name": "work", "queue": "q", "stop": False,
    }  # fmt: skip


async def test_progress_is_reported_and_leaves_a_mark(stage):
    async def work(payload, context):
        await context.progress(0.5, "half")

    stage.handlers.add("work", work)
    stage.admit()
    await stage.move()

    assert stage.broker.reports == ["50% half"]
    assert stage.finished[0].is_marked


async def test_progress_of_a_task_that_is_not_ours_is_refused(stage):
    seen = []

    async def work(payload, context):
        try:
            await context.progress(1)
        except StaleTokenError as error:
            seen.append(error)
            raise

    stage.broker.ours = False
    stage.handlers.add("work", work)
    stage.admit()
    await stage.move()

    assert "not ours any more" in seen[0].what


@pytest.mark.parametrize("share", [-0.1, 1.1])
async def test_progress_beyond_its_way_is_refused(stage, share):
    async def work(payload, context):
        await context.progress(share)

    stage.handlers.add("work", work)
    stage.admit(failures=2)
    await stage.move()

    assert "cannot have come" in stage.note()["error"]


async def test_the_arguments_of_a_call_are_spread(stage):
    async def work(a, b=0):
        return a + b

    stage.handlers.add("work", work)
    stage.admit({"args": [1], "kwargs": {"b": 2}}, is_call=True)

    assert (await stage.move()).body == b"3"


async def test_a_plain_function_runs_in_a_thread(stage):
    def work(payload):
        return threading.current_thread() is not threading.main_thread()

    stage.handlers.add("work", work)
    stage.admit()

    assert (await stage.move()).body == b"true"


async def test_a_function_that_returns_something_to_wait_for_is_waited_for(stage):
    async def inner():
        return "waited"

    stage.handlers.add("work", lambda _payload: inner())
    stage.admit()

    assert (await stage.move()).body == b'"waited"'


async def test_an_error_is_tried_again_and_in_the_end_set_aside(stage):
    async def work(payload):
        raise RuntimeError("no")

    stage.handlers.add("work", work)
    stage.admit()
    assert (await stage.move()).kind is MoveKind.RETRY

    stage.finished.clear()
    stage.bell.clear()
    stage.admit(failures=2)
    assert (await stage.move()).kind is MoveKind.DEAD
    assert stage.note()["error"] == "RuntimeError: no"


async def test_sys_exit_in_a_handler_does_not_end_the_worker(stage):
    async def work(payload):
        raise SystemExit(3)

    stage.handlers.add("work", work)
    stage.admit()

    assert (await stage.move()).kind is MoveKind.RETRY


async def test_the_task_may_say_how_often_it_is_tried(stage):
    async def work(payload):
        raise RuntimeError("no")

    stage.handlers.add("work", work, retry=RetryPolicy(9, constant(1.0)))
    stage.admit(attempts=1)

    assert (await stage.move()).kind is MoveKind.DEAD


async def test_a_result_that_cannot_travel_is_set_aside_at_once(stage):
    async def work(payload):
        return object()

    stage.handlers.add("work", work)
    stage.admit()
    await stage.move()

    assert stage.note()["reason"] == "bad_result"


async def test_an_attempt_that_runs_too_long_is_stopped_and_told(stage, heard):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit(timeout_s=0.01)

    move = await stage.move()
    assert (move.kind, move.record) == (MoveKind.RETRY, (1, 0, 0))
    assert heard.count(TaskTimedOut, limit_s=0.01, task="work") == 1


async def test_the_limit_of_the_handler_holds_where_the_task_names_none(stage, heard):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work, timeout_s=0.01)
    stage.admit(failures=2)
    await stage.move()

    assert "ran longer than 0.01 s" in stage.note()["error"]


async def test_no_attempt_is_longer_than_the_broker_allows(stage):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work, timeout_s=30.0)
    object.__setattr__(stage.desk, "longest_attempt_s", lambda: 0.01)
    stage.admit(failures=2)
    await stage.move()

    assert "ran longer than 0.01 s" in stage.note()["error"]
    assert "consumer_timeout" in stage.note()["error"]


async def test_a_thread_is_told_to_stop(stage):
    ended = threading.Event()

    def work(payload, context):
        while not context.should_stop:
            ended.wait(0.005)
        ended.set()

    stage.handlers.add("work", work)
    stage.admit(timeout_s=0.02)

    assert (await stage.move()).kind is MoveKind.RETRY
    assert await asyncio.to_thread(ended.wait, 2)


@pytest.mark.parametrize(
    ("why", "kind"), [(Stop.RELEASE, MoveKind.BACK), (Stop.CANCEL, MoveKind.CANCELLED)]
)
async def test_a_stopped_attempt_costs_nothing(stage, why, kind):
    begun = asyncio.Event()

    async def work(payload):
        begun.set()
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit(failures=1)
    await begun.wait()
    assert stage.running.stop_all(why) == 1

    move = await stage.move()
    assert (move.kind, move.record[0]) == (kind, 1 if kind is MoveKind.BACK else 0)


async def test_an_attempt_may_be_stopped_before_its_first_step(stage):
    async def work(payload):
        raise AssertionError("it must not run")

    stage.handlers.add("work", work)
    stage.admit()
    assert stage.running.stop("a", Stop.RELEASE)

    assert (await stage.move()).kind is MoveKind.BACK


async def test_of_a_lost_session_nothing_is_said(stage):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit()
    await asyncio.sleep(0)
    assert stage.running.stop_all(Stop.LOST, "other") == 0
    assert stage.running.stop_all(Stop.LOST, "p.1") == 1
    await stage.tasks.drain(2)

    assert stage.finished == []
    assert len(stage.running) == 0
    assert not stage.running.stop("a", Stop.CANCEL)


async def test_the_first_reason_to_stop_counts(stage):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit()
    await asyncio.sleep(0)
    stage.running.stop("a", Stop.CANCEL)
    stage.running.stop("a", Stop.LOST)

    assert (await stage.move()).kind is MoveKind.CANCELLED


async def test_a_handler_that_cancels_itself_has_failed(stage):
    async def work(payload):
        raise asyncio.CancelledError

    stage.handlers.add("work", work)
    stage.admit(failures=2)
    await stage.move()

    assert "CancelledError" in stage.note()["error"]


async def test_the_same_task_never_runs_twice_at_once(stage):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit()
    stage.admit()

    move = await stage.move()
    assert (move.kind, move.delay_s) == (MoveKind.BACK, 1.0)
    assert len(stage.running) == 1


async def test_urgent_ones_are_counted_apart(stage):
    async def work(payload):
        await asyncio.sleep(60)

    stage.handlers.add("work", work)
    stage.admit(task_id="a", lane=0)
    stage.admit(task_id="b", lane=2)

    assert (len(stage.running), stage.running.urgent) == (2, 1)
    assert stage.running.ids == ("a", "b")
    await asyncio.sleep(0)
    stage.running.stop_all(Stop.RELEASE)
    await stage.tasks.drain(2)
    assert stage.running.urgent == 0


async def test_an_envelope_that_cannot_be_read_is_set_aside(stage):
    stage.running.admit(Lease("a", "p.1", 1, 1, b"\xff"))

    assert stage.note()["reason"] == "undecodable"


async def test_a_payload_that_cannot_be_read_is_set_aside(stage):
    async def work(payload):
        raise AssertionError("it must not run")

    stage.handlers.add("work", work)
    stage.running.admit(Lease("a", "p.1", 1, 1, seal(Header("work"), 1, 99) + b"]"))
    await stage.move()

    assert stage.note()["reason"] == "undecodable"


async def test_an_expired_task_is_not_begun(stage, clock):
    async def work(payload):
        raise AssertionError("it must not run")

    stage.handlers.add("work", work)
    stage.admit(expires_at=clock.now() - 1)

    assert stage.note()["reason"] == "expired"


async def test_an_unknown_task_goes_back_for_who_knows_it(stage):
    stage.running.known_elsewhere = frozenset({"work"})
    stage.admit()

    assert (await stage.move()).record == (0, 0, 0)


async def test_an_unknown_task_that_nobody_knows_is_counted(stage):
    stage.admit()

    assert (await stage.move()).record == (0, 0, 1)


@pytest.mark.parametrize(
    "point", ["queue.after_claim_before_run", "queue.after_run_before_settle"]
)
async def test_a_fault_between_claim_and_settlement_is_a_failed_attempt(stage, point):
    async def work(payload):
        return None

    stage.handlers.add("work", work)
    with armed(f"{point}=raise"):
        stage.admit()
        assert (await stage.move()).kind is MoveKind.RETRY


# -- patience with errors, and deadlines -----------------------------------------------


RULES = (
    ErrorRule(KeyError, attempts=1),
    ErrorRule(TimeoutError, attempts=9, backoff=constant(7.0)),
    ErrorRule(LookupError, backoff=constant(3.0)),
)


@pytest.mark.parametrize(
    ("error", "failures", "kind", "delay_s"),
    [
        (KeyError("k"), 0, MoveKind.DEAD, 0.0),
        (IndexError("i"), 1, MoveKind.RETRY, 3.0),
        (IndexError("i"), 2, MoveKind.DEAD, 0.0),
        (TimeoutError("t"), 7, MoveKind.RETRY, 7.0),
        (RuntimeError("r"), 1, MoveKind.RETRY, 0.5),
    ],
)
async def test_each_kind_of_error_may_have_a_patience_of_its_own(
    stage, error, failures, kind, delay_s
):
    async def work(payload):
        raise error

    policy = RetryPolicy(3, constant(0.5), rules=RULES)
    stage.handlers.add("work", work, retry=policy)
    stage.admit(failures=failures)

    move = await stage.move()
    assert (move.kind, move.delay_s) == (kind, delay_s)


async def test_an_attempt_that_takes_too_long_is_a_timeout_for_the_rules(stage):
    async def work(payload):
        await asyncio.Event().wait()

    stage.handlers.add("work", work, retry=RetryPolicy(1, rules=RULES))
    stage.admit(timeout_s=0.01)

    assert (await stage.move()).delay_s == 7.0


async def test_an_attempt_ends_at_the_deadline_and_is_not_repeated(stage, clock):
    async def work(payload):
        await asyncio.Event().wait()

    stage.handlers.add("work", work, retry=RetryPolicy(3, constant(0.2)))
    stage.admit(deadline_at=clock.now() + 0.12)

    move = await stage.move()
    assert move.kind is MoveKind.DEAD
    assert stage.note()["reason"] == "deadline"
    assert "longer than 0.1 s" in stage.note()["error"]


async def test_a_retry_that_would_come_after_the_deadline_is_not_made(stage, clock):
    async def work(payload):
        raise RuntimeError("no")

    stage.handlers.add("work", work)
    stage.admit(deadline_at=clock.now() + 0.4)

    await stage.move()
    assert stage.note()["reason"] == "deadline"


async def test_what_is_past_its_deadline_is_not_begun(stage, clock):
    stage.handlers.add("work", pytest.fail)
    stage.admit(deadline_at=clock.now())

    await stage.move()
    assert stage.note()["reason"] == "deadline"


async def test_a_handler_knows_its_deadline(stage, clock):
    seen = []

    async def work(payload):
        seen.append(deadline.get())

    stage.handlers.add("work", work)
    stage.admit(deadline_at=clock.now() + 60)
    await stage.move()

    assert seen == [clock.now() + 60]
    assert deadline.get() is None


async def test_a_retry_beyond_the_budget_of_its_name_rests_longer(stage):
    async def work(payload):
        raise RuntimeError("no")

    stage.running.budgets._floor_per_s = stage.running.budgets._share = 0.0
    stage.handlers.add("work", work, retry=RetryPolicy(3, exponential(1.0, 600.0)))
    stage.admit()

    assert (await stage.move()).delay_s >= 300
    assert stage.running.budgets.postponed == 1


def test_a_rule_without_attempts_is_refused():
    with pytest.raises(InvalidInput):
        ErrorRule(KeyError, attempts=0)
