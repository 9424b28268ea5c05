"""What can be seen of the queues, by whom it may concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quorate.core.clock import Clock
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.core.series import Series

from .ages import age_of
from .events import TasksMended
from .gauges import Gauges
from .lookup import Lookup, unknown
from .measures import Rows, series_of
from .model import DEFAULT_QUEUE
from .ports import Audit
from .sights import WorkerReport, WorkerSight
from .story import told
from .views import Explanation, QueueStats
from .workforce import Workforce


class Looking:
    """What a queue manager offers to who looks at the queues."""

    _lookup: Lookup
    _emit: Emit
    _clock: Clock
    _workforce: Workforce
    _tasks: Tasks
    _gauges: Gauges | None = None

    async def stats(self, queue: str = DEFAULT_QUEUE) -> QueueStats:
        """The queue as the server sees it: depth, oldest age, in flight, by lane.

        Also who works on it, and how fast, by what workers told in the last seconds.
        """
        place = self._lookup.place(queue)
        stats = await place.broker.stats()
        crew = await place.crew.who()
        rate = sum(each.rate for each in crew)
        return replace(stats, workers=len(crew), rate=rate)

    def measured(self) -> Rows:
        """What this process and its workers measured, by task."""
        return self._workforce.rows()

    def series(self) -> tuple[Series, ...]:
        """Metrics of the queues; the depths are of the last look, see `watch`."""
        gauges = self._gauges.series(self.workers()) if self._gauges else ()
        return (*series_of(self.measured()), *gauges)

    def watch(self, listen: Callable[[Emit], object]) -> None:
        """Look at the depths of all queues every few seconds from now on."""
        self._gauges = Gauges(self.queues, self.stats)
        listen(self._gauges.hear)
        self._tasks.employ(self._gauges)

    async def queues(self) -> tuple[str, ...]:
        """All queues of this server and namespace that were in use in the last month.

        Those of this process are among them.
        """
        listed = await self._lookup.place(DEFAULT_QUEUE).crew.queues()
        return tuple(sorted({*listed, *self._lookup.used_here}))

    async def crew(self, queue: str = DEFAULT_QUEUE) -> tuple[WorkerReport, ...]:
        """The worker processes of this queue, in this and all other processes."""
        return await self._lookup.place(queue).crew.who()

    async def explain(self, task_id: str, *, queue: str | None = None) -> Explanation:
        """Where a task is, what became of it so far, and what keeps it from running.

        Raises `UnknownTask`.
        """
        place = await self._lookup.find(task_id, queue)
        found = await place.admin.explain(task_id)
        if found is None:
            raise unknown(task_id, (place.queue,))
        found = replace(found, age_s=age_of(task_id, self._clock.now()))
        stats, crew = await place.broker.stats(), await place.crew.who()
        can = await place.crew.can(found.task) if found.task else None
        return replace(found, story=told(found, stats, crew, can=can))

    async def audit(self, queue: str = DEFAULT_QUEUE) -> Audit:
        """Look through a whole queue for tasks that are lost, doubled or left over.

        Each is judged and put right in one step while the queue works on. It reads the
        whole queue: some milliseconds for every thousand tasks.
        """
        audit = await self._lookup.place(queue).admin.audit()
        if audit.repaired or audit.tidied:
            self._emit(
                TasksMended(
                    queue=queue, lost=len(audit.repaired), tidied=len(audit.tidied)
                )
            )
        return audit

    def workers(self) -> tuple[WorkerSight, ...]:
        """The worker processes as they stand now: state, memory, counts."""
        return self._workforce.sights()

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The worker processes that run now."""
        return self._workforce.pids
