"""The depths of queues for metrics, and sums of what events tell.

Whoever scrapes does not wait for the server: a role looks now and then, and the last
look is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from quorate.core.events import Event
from quorate.core.series import Kind, Series
from quorate.lease.events import SessionLost

from .events import (
    ShedChanged,
    TasksMended,
    TasksStranded,
    TasksTakenBack,
)
from .model import PRIORITIES
from .sights import WorkerSight
from .views import QueueStats

LOOK_EVERY_S = 5.0
MOST_QUEUES = 100
Samples = dict[tuple[str, ...], float]


class Gauges:
    """A role: looks at the queues. Also an `Emit` that adds up what it hears."""

    name = "queue gauges"

    def __init__(
        self,
        queues: Callable[[], Awaitable[Sequence[str]]],
        stats: Callable[[str], Awaitable[QueueStats]],
    ) -> None:
        self._queues = queues
        self._stats = stats
        self._seen: tuple[QueueStats, ...] = ()
        self._taken_back: Samples = {("crashed",): 0, ("not_begun",): 0}
        self._sums: Samples = {
            (name,): 0
            for name in ("lease_lost", "redelivered", "shed", "audit_repairs")
        }

    async def tick(self) -> float:
        """One look at every queue. Raises while the server is away."""
        names = (await self._queues())[:MOST_QUEUES]
        self._seen = tuple([await self._stats(name) for name in names])
        return LOOK_EVERY_S

    def hear(self, event: Event) -> None:
        """Add up what an event tells."""
        if isinstance(event, TasksTakenBack):
            self._taken_back[("crashed",)] += event.crashed
            self._taken_back[("not_begun",)] += event.tasks - event.crashed
            self._sums[("redelivered",)] += event.tasks
        elif isinstance(event, TasksStranded):
            self._sums[("redelivered",)] += event.tasks
        elif isinstance(event, SessionLost):
            self._sums[("lease_lost",)] += 1
        elif isinstance(event, TasksMended):
            self._sums[("audit_repairs",)] += event.lost + event.tidied
        elif isinstance(event, ShedChanged):
            self._sums[("shed",)] += event.level_is > event.level_was

    def series(self, workers: Sequence[WorkerSight]) -> tuple[Series, ...]:
        """All of it as metrics."""
        sums = [
            Series(
                f"quorate_queue_{name}_total", _HELP[name], Kind.COUNTER, (), {(): n}
            )
            for (name,), n in self._sums.items()
        ]
        return (
            *_of_lanes(self._seen),
            *_of_queues(self._seen),
            Series(
                "quorate_queue_reaped_total",
                "Tasks taken back from dead workers.",
                Kind.COUNTER,
                ("reason",),
                self._taken_back,
            ),
            *sums,
            *_of_workers(workers),
        )


_HELP = {
    "lease_lost": "Sessions that ended although their process lived.",
    "redelivered": "Tasks that were claimed and went back without having been settled.",
    "shed": "Times that a lane was shed, as workers noticed it.",
    "audit_repairs": "What audits of this process put right.",
}


def _of_lanes(seen: Sequence[QueueStats]) -> tuple[Series, ...]:
    depth: Samples = {}
    oldest: Samples = {}
    for stats in seen:
        for lane in PRIORITIES:
            depth[(stats.queue, lane.value, "ready")] = stats.ready[lane]
            depth[(stats.queue, lane.value, "running")] = stats.running[lane]
            oldest[(stats.queue, lane.value)] = stats.oldest_age_s[lane] or 0.0
    labels = ("queue", "lane")
    return (
        Series(
            "quorate_queue_depth",
            "Tasks in lanes.",
            Kind.GAUGE,
            (*labels, "state"),
            depth,
        ),
        Series(
            "quorate_queue_oldest_age_seconds",
            "Age of the first task of each lane; 0 for an empty one.",
            Kind.GAUGE,
            labels,
            oldest,
        ),
    )


def _of_queues(seen: Sequence[QueueStats]) -> tuple[Series, ...]:
    columns: dict[tuple[str, str], Callable[[QueueStats], float]] = {
        ("scheduled", "Tasks that are due later."): lambda stats: stats.scheduled,
        ("parked", "Tasks that wait for a slot, a rate or a name's pause."): (
            lambda stats: stats.parked
        ),
        ("dlq_size", "Dead letters."): lambda stats: stats.dead,
        ("paused", "1 while the queue is paused."): lambda stats: stats.paused,
        ("shed_level", "So many lanes are not served."): lambda stats: stats.shed_level,
        ("live_workers", "Workers that told of themselves lately."): (
            lambda stats: stats.workers
        ),
    }
    return tuple(
        Series(
            f"quorate_queue_{name}",
            text,
            Kind.GAUGE,
            ("queue",),
            {(stats.queue,): float(read(stats)) for stats in seen},
        )
        for (name, text), read in columns.items()
    )


def _of_workers(workers: Sequence[WorkerSight]) -> tuple[Series, ...]:
    lag: Samples = {(str(each.number),): each.lag_s for each in workers if each.pid}
    memory: Samples = {
        (str(each.number),): float(each.rss_bytes) for each in workers if each.pid
    }
    return (
        Series(
            "quorate_queue_loop_lag_seconds",
            "How late the event loop of a worker process was at its last beat.",
            Kind.GAUGE,
            ("worker",),
            lag,
        ),
        Series(
            "quorate_queue_worker_memory_bytes",
            "Resident memory of a worker process.",
            Kind.GAUGE,
            ("worker",),
            memory,
        ),
    )
