"""What the plot of the locks shows."""

from __future__ import annotations

from tests.bench.locks import roster
from tests.bench.locks.roster import OURS, PLAIN, PYTHON_REDIS_LOCK
from tests.bench.panels import Panel

SHORT = {
    "ours": "Quorate",
    "redis-py": "redis.asyncio",
    "redis-py-wide": "redis.asyncio",
    "pottery-wide": "pottery",
}
CROWD = (
    *(OURS, roster.AIOREDLOCK, PYTHON_REDIS_LOCK),
    *(roster.REDIS_PY_WIDE, roster.POTTERY_WIDE, roster.COREDIS),
)
PANELS = (
    Panel(
        "one lock after the other, pairs/s",
        "uncontended",
        "result.per_s",
        (OURS, *PLAIN),
    ),
    Panel(
        "32 tasks on distinct locks, pairs/s",
        "distinct",
        "result.per_s",
        (OURS, *PLAIN),
    ),
    Panel(
        "10 processes: longest 1 % of waits, ms",
        "contention-10",
        "result.wait_ms.p99",
        (OURS, PYTHON_REDIS_LOCK, *PLAIN),
        True,
    ),
    Panel(
        "10 processes: handoff p50, ms (fair ones)",
        "contention-10",
        "result.handoff_ms.p50",
        (OURS, PYTHON_REDIS_LOCK),
    ),
    Panel(
        "1,000 tasks on one lock, s",
        "crowd",
        "result.seconds",
        CROWD,
        True,
    ),
    Panel(
        "100 idle waiters, requests/s",
        "idle",
        "result.requests_per_s",
        (OURS, *PLAIN),
        True,
    ),
)
