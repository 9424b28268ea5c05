"""Schedules, chains and groups as an application uses them, on every backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from quorate.backend import Backend
from quorate.core.errors import InvalidInput, ResultPending, TaskFailed
from quorate.queue.declared import Declared, async_task
from quorate.queue.door import config_of
from quorate.queue.events import ScheduleFired
from quorate.queue.manager import QueueManager
from quorate.queue.model import PRIORITIES, QueueConfig, RetryPolicy, Task, TaskState
from quorate.queue.timetable import Cron, Every
from quorate.resilience.backoff import constant
from quorate.settings.load import load_settings
from quorate.testing.heard import Heard

WITHIN_S = 10.0
CONFIG = QueueConfig(retry=RetryPolicy(1, constant(0.01)), grace_s=1.0, poll_s=0.2)


@async_task(name="flows.double")
async def double(number: int, times: int = 1) -> int:
    return number * 2**times


@async_task(name="flows.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@async_task(name="flows.fail")
async def fail(_number: int) -> None:
    raise ValueError("no")


@async_task(name="flows.later")
async def later(_payload: None) -> None:
    return None


@async_task(name="flows.wait")
async def wait(number: float) -> None:
    await asyncio.sleep(number)


@pytest.fixture
async def queue(
    redis_url: str, namespace: str, heard: Heard
) -> AsyncIterator[QueueManager]:
    backend = Backend(redis_url, namespace=namespace, emit=heard.emit)
    async with backend, QueueManager(backend, CONFIG) as queue:
        yield queue


@pytest.fixture
async def working(queue: QueueManager) -> QueueManager:
    await queue.start_workers(in_process=True)
    return queue


async def until(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)


# -- chains and groups -----------------------------------------------------------------


async def test_a_chain_hands_its_results_on(working):
    flow = await working.chain([double.task(1), double.step(), double.step(times=3)])

    assert await flow.result(wait_s=WITHIN_S) == 32
    assert len(flow.ids) == 3


async def test_plain_tasks_take_the_result_as_their_payload(queue):
    async def add_one(payload):
        return payload + 1

    await queue.register_task_handler("add_one", add_one)
    await queue.start_workers(in_process=True)

    flow = await queue.chain(
        [Task(name="add_one", payload=1), Task(name="add_one"), Task(name="add_one")]
    )

    assert await flow.result(wait_s=WITHIN_S) == 4


async def test_a_group_hands_all_results_to_its_last_step(working):
    members = [double.task(1), [double.task(2), double.step()], double.task(3)]

    flow = await working.group(members, collect=total.step())

    assert await flow.result(wait_s=WITHIN_S) == 2 + 8 + 6


async def test_a_failed_step_ends_the_chain_and_says_which_it_was(working):
    flow = await working.chain([double.task(1), fail.step(), double.step()])

    with pytest.raises(TaskFailed) as caught:
        await flow.result(wait_s=WITHIN_S)

    assert flow.ids[1] in str(caught.value)


async def test_a_flow_is_cancelled_as_a_whole(working):
    flow = await working.group(
        [wait.task(60), [wait.task(60), double.step()]], collect=total.step()
    )
    await until(lambda: working.counts().running == 2)

    await flow.cancel()

    with pytest.raises(TaskFailed):
        await flow.result(wait_s=WITHIN_S)
    await until(lambda: working.counts().running == 0)


async def test_the_same_flow_again_is_the_same_flow(working):
    steps = [double.task(1), double.step()]

    first = await working.chain(steps, flow_id="once")
    await first.result(wait_s=WITHIN_S)
    again = await working.chain(steps, flow_id="once")

    assert again.ids == first.ids
    assert await again.result(wait_s=WITHIN_S) == 4
    assert working.counts().done_total == 2


# -- schedules -------------------------------------------------------------------------


async def test_a_schedule_fires_in_even_steps(working, heard):
    await working.every("beat", 1.0, task=double.task(1))

    await until(lambda: working.counts().done_total >= 2)

    (record,) = await working.schedules("default")
    assert record.fired >= 2
    assert record.schedule.timetable == Every(1.0)
    assert max(event.late_s for event in heard.all(ScheduleFired)) < 1.0
    assert working.counts().fired_total >= 2


async def test_schedules_are_listed_paused_resumed_and_removed(queue):
    await queue.cron("nightly", "30 2 * * *", task=double.task(1), zone="Europe/Berlin")
    await queue.every("beat", 3600.0, task=double.task(1))

    assert [each.schedule.name for each in await queue.schedules()] == [
        "beat",
        "nightly",
    ]
    await queue.pause_schedule("nightly")
    assert [each.paused for each in await queue.schedules()] == [False, True]
    await queue.resume_schedule("nightly")
    assert not (await queue.schedules())[1].paused
    assert await queue.remove_schedule("nightly")
    assert not await queue.remove_schedule("nightly")
    assert [each.schedule.name for each in await queue.schedules()] == ["beat"]
    with pytest.raises(InvalidInput):
        await queue.pause_schedule("nightly")


async def test_a_schedule_that_is_put_down_again_takes_over_what_is_new(queue):
    await queue.cron("nightly", "30 2 * * *", task=double.task(1))
    await queue.pause_schedule("nightly")

    await queue.cron("nightly", "30 3 * * *", task=double.task(2))

    (record,) = await queue.schedules()
    assert record.schedule.timetable == Cron("30 3 * * *")
    assert record.schedule.task.payload == double.task(2).payload
    assert record.paused


async def test_a_faulty_schedule_is_refused_before_anything_is_sent(queue):
    with pytest.raises(InvalidInput):
        await queue.cron("nightly", "30 25 * * *", task=double.task(1))
    with pytest.raises(InvalidInput):
        await queue.cron("nightly", "30 2 * * *", task=double.task(1), zone="Mars")
    with pytest.raises(InvalidInput):
        await queue.every("beat", 60, task=Task(name="x", id="mine"))

    assert await queue.schedules() == ()


async def test_a_declared_function_may_come_with_a_timetable(queue, monkeypatch):
    from quorate.queue import declared

    monkeypatch.setattr(declared, "_declared", dict(declared._declared))

    @async_task(name="flows.tidy", when=Every(1.0))
    async def tidy() -> str:
        return "tidy"

    assert isinstance(tidy, Declared)
    await queue.start_workers(in_process=True)
    await until(lambda: queue.counts().done_total >= 1)

    (record,) = await queue.schedules()
    assert record.schedule.name == "flows.tidy"
    assert await queue.state(record.last) in (TaskState.DONE, TaskState.QUEUED)


def test_a_declared_function_with_a_timetable_needs_no_arguments():
    with pytest.raises(InvalidInput):

        @async_task(name="flows.needy", when=Every(1.0))
        async def needy(number: int) -> None: ...


# -- named queues ----------------------------------------------------------------------


async def test_the_settings_name_three_queues_and_each_has_all_lanes(
    redis_url, namespace
):
    """A queue's name says nothing about the priority of what is in it."""
    config = config_of(load_settings(environ={}))
    assert config.queues == ("default", "high_priority", "low_priority")
    backend = Backend(redis_url, namespace=namespace)
    async with backend, QueueManager(backend, config) as queue:
        for name in config.queues:
            for priority in PRIORITIES:
                await queue.enqueue_task("flows.later", queue=name, priority=priority)
            stats = await queue.stats(name)
            assert stats.ready == dict.fromkeys(PRIORITIES, 1)

        await queue.start_workers(in_process=True)

        await until(lambda: queue.counts().done_total == 9)


# -- at a time -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["seconds", "datetime"])
async def test_a_task_may_be_due_at_a_moment(working, kind):
    loop = asyncio.get_running_loop()
    moment = time.time() + 0.4

    began = loop.time()
    at = moment if kind == "seconds" else datetime.fromtimestamp(moment, UTC)
    task = await working.enqueue_task("flows.later", at=at)
    with pytest.raises(ResultPending):
        await working.result(task, wait_s=0.2)
    await working.result(task, wait_s=WITHIN_S)

    assert loop.time() - began >= 0.35


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), -1.0, float("nan"), 4e12])  # noqa: DTZ001
async def test_a_moment_that_cannot_be_is_refused(queue, at):
    with pytest.raises(InvalidInput):
        await queue.enqueue_task("flows.later", at=at)
