"""What is counted of tasks, and how it is added up and shown."""

from __future__ import annotations

import json

from quorate.core.series import Buckets
from quorate.lease.events import SessionLost
from quorate.observability.metrics import Metrics
from quorate.queue.counts import WorkerTally
from quorate.queue.events import (
    ShedChanged,
    TasksMended,
    TasksStranded,
    TasksTakenBack,
)
from quorate.queue.gauges import Gauges
from quorate.queue.measures import (
    MOST_NAMES,
    OTHERS,
    Measures,
    series_of,
    together,
)
from quorate.queue.model import PRIORITIES, MoveKind, TaskPriority
from quorate.queue.sights import WorkerSight, WorkerState
from quorate.queue.views import QueueStats

EMPTY = dict.fromkeys(PRIORITIES, 0)


def test_attempts_are_counted_by_task_lane_and_outcome():
    measures = Measures()
    measures.over("send", 0, MoveKind.DONE, 0.02, 0.004)
    measures.over("send", 0, MoveKind.DONE, 400.0, None)
    measures.over("send", 2, MoveKind.RETRY, 0.5, 0.2)

    attempts, ran, waited = series_of(measures.rows)

    assert attempts.samples == {
        ("send", "high", "done"): 2, ("send", "low", "retry"): 1,
    }  # fmt: skip
    buckets = ran.samples[("send",)]
    assert isinstance(buckets, Buckets)
    assert (sum(buckets.counts), buckets.counts[-1]) == (3, 1)
    assert round(buckets.total, 3) == 400.52
    assert sum(waited.samples[("send",)].counts) == 2


def test_rows_of_several_processes_are_added_up_and_travel_as_json():
    one, two = Measures(), Measures()
    one.over("send", 1, MoveKind.DONE, 0.1, 0.1)
    two.over("send", 1, MoveKind.DONE, 0.1, 0.1)
    two.over("mail", 1, MoveKind.DEAD, 0.1, 0.1)

    rows = together((one.rows, json.loads(json.dumps(two.rows)), {}))

    attempts = series_of(rows)[0].samples
    assert attempts[("send", "normal", "done")] == 2
    assert attempts[("mail", "normal", "dead")] == 1


def test_labels_are_bounded():
    measures = Measures()
    for number in range(MOST_NAMES + 5):
        measures.over(f"t{number}", 1, MoveKind.DONE, 0.0, 0.0)

    assert len(measures.rows) == MOST_NAMES + 1
    attempts = series_of(measures.rows)[0].samples
    assert attempts[(OTHERS, "normal", "done")] == 5


async def test_depths_and_sums_become_a_page():
    stats = QueueStats(
        queue="mail", ready=EMPTY | {TaskPriority.LOW: 5}, running=EMPTY,
        oldest_age_s=dict.fromkeys(PRIORITIES, None) | {TaskPriority.LOW: 61.5},
        scheduled=1, dead=2, shed_level=1, paused=True, workers=3,
    )  # fmt: skip

    async def queues():
        return ("mail",)

    async def look(_queue):
        return stats

    gauges = Gauges(queues, look)
    await gauges.tick()
    for event in (
        TasksTakenBack(queue="mail", session="s", tasks=5, crashed=2),
        TasksStranded(queue="mail", session="s", tasks=1),
        TasksMended(queue="mail", lost=1, tidied=3),
        ShedChanged(queue="mail", level_was=0, level_is=1),
        ShedChanged(queue="mail", level_was=1, level_is=0),
        SessionLost(session="s", tag="t", why="renewal refused"),
    ):
        gauges.hear(event)
    measures = Measures()
    measures.over("send", 1, MoveKind.DONE, 0.02, 0.004)
    sight = WorkerSight(
        number=0, state=WorkerState.WORKING, tally=WorkerTally(), pid=1,
        rss_bytes=7, lag_s=0.25,
    )  # fmt: skip
    metrics = Metrics()
    metrics.add_series(lambda: (*gauges.series([sight]), *series_of(measures.rows)))
    metrics.add_series(lambda: 1 / 0)

    page = metrics.page().decode()

    for line in (
        'quorate_queue_depth{lane="low",queue="mail",state="ready"} 5.0',
        'quorate_queue_oldest_age_seconds{lane="low",queue="mail"} 61.5',
        'quorate_queue_oldest_age_seconds{lane="high",queue="mail"} 0.0',
        'quorate_queue_dlq_size{queue="mail"} 2.0',
        'quorate_queue_paused{queue="mail"} 1.0',
        'quorate_queue_reaped_total{reason="crashed"} 2.0',
        'quorate_queue_reaped_total{reason="not_begun"} 3.0',
        "quorate_queue_redelivered_total 6.0",
        "quorate_queue_audit_repairs_total 4.0",
        "quorate_queue_shed_total 1.0",
        "quorate_queue_lease_lost_total 1.0",
        'quorate_queue_loop_lag_seconds{worker="0"} 0.25',
        'quorate_queue_run_seconds_bucket{le="0.025",task="send"} 1.0',
        'quorate_queue_run_seconds_bucket{le="0.01",task="send"} 0.0',
        'quorate_queue_run_seconds_count{task="send"} 1.0',
        'quorate_queue_attempts_total{lane="normal",outcome="done",task="send"} 1.0',
        'quorate_unreadable_stats_total{of="series"} 1.0',
    ):
        assert line in page or line in metrics.page().decode(), line
