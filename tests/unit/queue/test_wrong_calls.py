"""Wrong calls: refused before any work, in words, and without a trace."""

from __future__ import annotations

import pytest
from tests.unit.queue.test_manager import Stage

from quorate.core.errors import InvalidInput, InvalidPayload, UnknownTask
from quorate.queue.guards import Unique
from quorate.queue.model import QueueConfig, Task

WITHIN_ITSELF: list[object] = []
WITHIN_ITSELF.append(WITHIN_ITSELF)


@pytest.fixture
async def stage(heard):
    stage = Stage(heard)
    async with stage.queue:
        yield stage


@pytest.mark.parametrize("queue", ["", "a\nb", " ", "x" * 300, None, 5, ["a"]])
async def test_a_queue_name_that_cannot_be_used_leaves_nothing_behind(stage, queue):
    """It would be among those that are looked into for every result from then on."""
    for wrong_call in (
        lambda: stage.queue.enqueue_task("work", 1, queue=queue),
        lambda: stage.queue.enqueue_task("work", 1, queue=queue, delay_s=1.0),
        lambda: stage.queue.enqueue_many([Task(name="work", queue=queue)]),
        lambda: stage.queue.enqueue_each("work", [1], queue=queue),
        lambda: stage.queue.chain([Task(name="work", queue=queue)] * 2),
    ):
        with pytest.raises(InvalidInput):
            await wrong_call()

    assert queue not in stage.queue._lookup.queues
    with pytest.raises(UnknownTask):
        await stage.queue.state("nobody")


@pytest.mark.parametrize(
    "options",
    [
        {"delay_s": "1"},
        {"delay_s": None},
        {"delay_s": True},
        {"at": "2030"},
        {"timeout_s": "5"},
        {"timeout_s": 1e12},
        {"expires_s": []},
        {"deadline_s": 1e15},
        {"attempts": "3"},
        {"attempts": 1.5},
        {"unique": "key"},
        {"slot": "key"},
        {"rate": 5},
    ],
    ids=str,
)
async def test_options_of_a_wrong_kind_are_refused_in_words(stage, options):
    with pytest.raises(InvalidInput):
        await stage.queue.enqueue_task("work", 1, **options)

    assert stage.brokers["default"].calls == []


@pytest.mark.parametrize("wrong", ["work", None, {"name": "work"}])
async def test_only_tasks_are_tasks(stage, wrong):
    for wrong_call in (
        lambda: stage.queue.enqueue_many([Task(name="work"), wrong]),
        lambda: stage.queue.chain([Task(name="work"), wrong]),
        lambda: stage.queue.group([wrong], collect=Task(name="work")),
        lambda: stage.queue.group([Task(name="work")] * 2, collect=wrong),
    ):
        with pytest.raises(InvalidInput, match="no task"):
            await wrong_call()

    assert stage.brokers["default"].calls == []


@pytest.mark.parametrize("count", ["2", 1.5, None, 0, -1, True])
async def test_workers_are_counted_in_whole_numbers(stage, count):
    with pytest.raises(InvalidInput, match="workers cannot be started"):
        await stage.queue.start_workers(count)


@pytest.mark.parametrize(
    "limits",
    [
        {"queues": ("",)},
        {"queues": ("a\nb",)},
        {"concurrency": 1.5},
        {"payload_max_bytes": 0},
        {"result_max_bytes": -1},
        {"dead_letters_max": 0},
        {"grace_s": -1.0},
        {"max_stall_s": 0.0},
        {"stall_warned_at_s": float("nan")},
    ],
    ids=str,
)
def test_limits_that_nothing_could_keep_are_refused(limits):
    with pytest.raises(InvalidInput):
        QueueConfig(**limits)


@pytest.mark.parametrize("payload", [{1: 2, "a": 3}, {1, 2}, WITHIN_ITSELF], ids=repr)
async def test_a_payload_that_cannot_travel_makes_no_unique_key(stage, payload):
    with pytest.raises(InvalidPayload):
        await stage.queue.enqueue_task("work", payload, unique=Unique())


@pytest.mark.parametrize("payloads", ["text", b"bytes", {"a": 1}, None, 5])
async def test_one_payload_is_not_taken_for_several(stage, payloads):
    with pytest.raises(InvalidInput, match="payloads"):
        await stage.queue.enqueue_each("work", payloads)

    assert not any(broker.calls for broker in stage.brokers.values())
