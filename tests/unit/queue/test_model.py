"""Values of the queue: what they are, and which are refused."""

from __future__ import annotations

import math

import pytest

from quorate.core.errors import InvalidInput
from quorate.queue.model import LaneWeights, QueueConfig, TaskPriority
from quorate.queue.patience import RetryPolicy
from quorate.queue.views import QueueStats


def test_medium_is_another_word_for_normal():
    assert TaskPriority.MEDIUM is TaskPriority.NORMAL
    assert [priority.lane for priority in TaskPriority] == [0, 1, 2]


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_task_is_tried_at_least_once(attempts):
    with pytest.raises(InvalidInput, match="cannot be tried"):
        RetryPolicy(attempts)


def test_a_lane_without_weight_is_refused():
    with pytest.raises(InvalidInput, match="16:0:1"):
        LaneWeights(16, 0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"concurrency": 0},
        {"age_floor_s": -1},
        {"crash_budget": 0},
        {"attempt_timeout_s": math.inf},
        {"result_ttl_s": 0},
        {"poll_s": math.nan},
        {"reserved_for_high": 1.0},
        {"queues": ()},
        {"queues": ("a", "a")},
    ],
)
def test_a_configuration_that_makes_no_sense_names_what_is_wrong(changes):
    with pytest.raises(InvalidInput, match=next(iter(changes))):
        QueueConfig(**changes)


def test_the_depth_of_a_queue_is_what_could_start_now():
    counts = dict.fromkeys(TaskPriority, 2)
    stats = QueueStats(
        queue="q",
        ready=counts,
        running=counts,
        oldest_age_s=dict.fromkeys(TaskPriority),
        scheduled=5,
        dead=1,
        shed_level=0,
        paused=False,
    )

    assert stats.depth == 6
