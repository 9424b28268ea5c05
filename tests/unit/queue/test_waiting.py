"""Waiting for what becomes of a task."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.queue.fakes import FakeBroker

from quorate.core.clock import SystemClock
from quorate.core.errors import (
    ResultPending,
    StoreUnavailable,
    TaskFailed,
    UnknownTask,
)
from quorate.queue import waiting as module
from quorate.queue.model import TaskState
from quorate.queue.ports import Found
from quorate.queue.waiting import Waiting

RUNS = Found(TaskState.RUNNING)
DONE = Found(TaskState.DONE, b'{"x":1}')


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def waiting() -> Waiting:
    return Waiting(SystemClock())


async def test_a_result_that_is_there_is_returned_at_once(waiting, broker):
    broker.found["a"] = DONE
    broker.found["b"] = Found(TaskState.DONE, b"")

    assert await waiting.result(broker, "a", wait_s=0) == {"x": 1}
    assert await waiting.result(broker, "b", wait_s=0) is None


async def test_word_from_the_server_ends_the_wait(waiting, broker):
    broker.found["a"] = RUNS
    results = [
        asyncio.ensure_future(waiting.result(broker, "a", wait_s=5)) for _ in range(3)
    ]
    await asyncio.sleep(0)
    broker.found["a"] = DONE

    waiting.over("a")
    waiting.over("somebody else")

    assert await asyncio.gather(*results) == [{"x": 1}] * 3
    assert waiting._bells == {}


async def test_a_missed_word_is_made_good_by_asking_again(waiting, broker, monkeypatch):
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.01)
    broker.found["a"] = RUNS
    asyncio.get_running_loop().call_later(
        0.02, lambda: broker.found.update({"a": DONE})
    )

    assert await waiting.result(broker, "a", wait_s=5) == {"x": 1}


async def test_after_a_gap_everybody_asks_again(waiting, broker):
    broker.found["a"] = RUNS
    result = asyncio.ensure_future(waiting.result(broker, "a", wait_s=5))
    await asyncio.sleep(0)
    broker.found["a"] = DONE

    waiting.look_again()

    assert await result == {"x": 1}


async def test_a_wait_that_is_too_short_says_what_the_task_does(waiting, broker):
    broker.found["a"] = RUNS

    with pytest.raises(ResultPending, match=r"no result after 0\.01 s") as told:
        await waiting.result(broker, "a", wait_s=0.01)

    assert "running" in told.value.why


async def test_a_server_that_comes_back_in_time_is_waited_for(
    waiting, broker, monkeypatch
):
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.01)
    broker.found["a"], broker.away = DONE, True
    asyncio.get_running_loop().call_later(0.03, setattr, broker, "away", False)

    assert await waiting.result(broker, "a", wait_s=5) == {"x": 1}


async def test_a_server_that_stays_away_is_told(waiting, broker):
    broker.away = True

    with pytest.raises(StoreUnavailable):
        await waiting.result(broker, "a", wait_s=0)


@pytest.mark.parametrize(
    ("found", "error", "says"),
    [
        (Found(TaskState.CANCELLED), TaskFailed, "was cancelled"),
        (
            Found(TaskState.DEAD, b'{"reason":"poison","error":"boom"}'),
            TaskFailed,
            "dead letters",
        ),
        (Found(None), UnknownTask, "no task a"),
    ],
)
async def test_an_end_without_a_result_is_an_error(waiting, broker, found, error, says):
    broker.found["a"] = found

    with pytest.raises(error, match=says):
        await waiting.result(broker, "a", wait_s=1)
