"""The subjects that are harmed: locks, and the queue."""

from __future__ import annotations

from tests.faults import (
    lock_bugs,
    lock_page,
    lock_runs,
    queue_bugs,
    queue_order_runs,
    queue_page,
    queue_rabbit_limits,
    queue_rabbit_runs,
    queue_runs,
    queue_server_runs,
)
from tests.faults.campaign import Suite

LOCKS = Suite(
    "locks",
    lock_runs.RUNS,
    lock_bugs.BUGS,
    lock_page.HEAD,
    lock_page.WORDS,
    "grants",
    beside=(
        *("L6 safe", "L2", "L3", "L6 default"),
        *("L11 reentrant", "L11 readers", "L11 semaphore"),
        *("L4", "L7 +1 h", "L7 -1 h", "L7 ends"),
        *("L5 none", "L5 everysec", "L5 always", "L9"),
    ),
    bugs_at_once=4,
)
QUEUE = Suite(
    "queue",
    {
        **queue_runs.RUNS,
        **queue_server_runs.RUNS,
        **queue_rabbit_runs.RUNS,
        **queue_rabbit_limits.RUNS,
        **queue_order_runs.RUNS,
    },
    queue_bugs.BUGS,
    queue_page.HEAD,
    queue_page.WORDS,
    "tasks",
    beside=(
        *("Q6 failover", "Q6 rabbit", "Q11 rabbit"),
        *(name for name in queue_runs.RUNS if name.startswith("Q2 ")),
    ),
    within_s=900.0,
    minutes=60.0,
)
SUITES = {suite.name: suite for suite in (LOCKS, QUEUE)}
