"""The life of a claimed task in this process: from its lease to its move.

Every task that is admitted ends in exactly one call of `finished`, unless its session
is lost: then the server has given it back already, and nothing is said about it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from quorate.core.codec import Json
from quorate.core.errors import InvalidPayload, StaleTokenError
from quorate.core.failpoint import failpoint, is_armed
from quorate.core.fence import enter_fence
from quorate.core.lifecycle import Tasks
from quorate.core.threads import tellable

from .ages import age_of
from .aside import Aside
from .context import TaskContext, deadline
from .deadlines import Deadlines
from .decide import after_hold, after_release, dead, when_unknown
from .desk import Desk
from .envelope import read_header, read_payload
from .events import TaskTimedOut
from .flow import with_before
from .handlers import Handler, Handlers
from .judge import Judge, too_late
from .measures import Measures
from .model import DeadReason, Lease, Move, MoveKind
from .ports import Finished
from .retries import RetryBudgets
from .run import Run, Stop

MOST_THREADS = 32
TIDY_UP_S = 1.0
LATE_S = 0.02
"""So much later than its claim an attempt begins only if the process stood still."""


class Running:
    """The attempts of one queue that are under way in this process."""

    def __init__(
        self,
        desk: Desk,
        handlers: Handlers,
        tasks: Tasks,
        finished: Callable[[Finished], None],
    ) -> None:
        self._desk = desk
        self._handlers = handlers
        self._tasks = tasks
        self._finished = finished
        self._runs: dict[str, Run] = {}
        self._urgent = 0
        self._deadlines: Deadlines[Run] = Deadlines(self._expired)
        self._threads: ThreadPoolExecutor | None = None
        self._aside = Aside()
        self._judge = Judge(desk)
        self.measures = Measures()
        self.known_elsewhere: frozenset[str] = frozenset()
        self.is_away: Callable[[str], bool] = lambda _service: False

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def urgent(self) -> int:
        """How many of them came from the first lane."""
        return self._urgent

    @property
    def budgets(self) -> RetryBudgets:
        """How many failed tasks may be tried again soon."""
        return self._judge.budgets

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._runs)

    def admit(self, lease: Lease) -> None:
        """Begin with a claimed task, or say at once what becomes of it."""
        try:
            header, payload = read_header(lease.envelope)
        except InvalidPayload as error:
            self._end(lease, dead(lease, DeadReason.UNDECODABLE, str(error)))
            return
        if header.expires_at is not None or header.deadline_at is not None:
            late = too_late(lease, header, self._desk.clock.now())
            if late is not None:
                self._end(lease, late)
                return
        handler = self._handlers.find(header.name)
        if handler is None:
            elsewhere = header.name in self.known_elsewhere
            move = when_unknown(
                lease, header.name, self._desk.chance, elsewhere=elsewhere
            )
            self._end(lease, move)
            return
        if lease.id in self._runs:
            # Lost with an earlier session and still tidying up: not twice at once.
            self._end(lease, after_release(lease, TIDY_UP_S))
            return
        service = header.service or handler.service
        if service is not None and self.is_away(service):
            self._end(lease, after_hold(lease, service))
            return
        run = Run(lease, header, payload, handler, self._desk.tag)
        run.limit_s = self._judge.limit_s(run)
        run.admitted_at = asyncio.get_running_loop().time()
        self._runs[lease.id] = run
        if not lease.failures:
            self.budgets.began(header.name)
        if not lease.lane:
            self._urgent += 1
        run.task = self._tasks.spawn(self._live(run), "task")

    def stop(self, task_id: str, why: Stop) -> bool:
        """Stop an attempt; False if there is none. The first reason counts."""
        run = self._runs.get(task_id)
        if run is None or run.task is None:
            return False
        if run.stop is None:
            run.stop = why
            if run.context is not None:
                run.context.close()
            if run.begun:
                run.task.cancel()
        return True

    def stop_all(self, why: Stop, session: str | None = None) -> int:
        """Stop all, or all of one session. Returns how many."""
        ids = [
            task_id
            for task_id, run in self._runs.items()
            if session is None or run.lease.session == session
        ]
        return sum(self.stop(task_id, why) for task_id in ids)

    def close(self) -> None:
        self._deadlines.close()
        self._aside.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _live(self, run: Run) -> None:
        run.begun = True
        if run.stop is not None:
            # It was stopped between its claim and its first step.
            self._over(run, self._judge.after_stop(run))
            return
        ends_at = run.ends_at = self._deadlines.add(run, run.limit_s)
        if self._stood_still(run, ends_at - run.limit_s):
            self._over(run, after_release(run.lease))
            return
        enter_fence(run)
        try:
            if is_armed():
                await failpoint("queue.after_claim_before_run")
            value = await self._call(run, ends_at)
            move = self._judge.success(run, value)
            if is_armed():
                await failpoint("queue.after_run_before_settle")
        except asyncio.CancelledError:
            self._over(run, self._judge.after_stop(run))
            raise
        except BaseException as error:
            self._over(run, self._judge.failed(run, error))
            if not isinstance(error, (Exception, SystemExit)):
                raise
        else:
            self._over(run, move)

    def _stood_still(self, run: Run, now: float) -> bool:
        """Did the process stand still since the claim, so long that it may be void?

        Somebody else may have the task by now. If not, it goes back to its lane.
        """
        if now - run.admitted_at < LATE_S:
            return False
        desk = self._desk
        return desk.clock.monotonic() >= desk.session.trusted_until(desk.tag)

    async def _call(self, run: Run, ends_at: float) -> object:
        handler = run.handler
        payload = read_payload(run.payload)
        run.is_read = True
        if run.header.deadline_at is not None:
            deadline.set(run.header.deadline_at)
        args: tuple[object, ...]
        kwargs: dict[str, Json] = {}
        if run.header.flow:
            payload = with_before(run.header, payload, run.lease.envelope)
        if run.header.is_call:
            args, kwargs = tuple(payload["args"]), payload["kwargs"]
        elif handler.takes_context:
            report = functools.partial(self._report, run)
            run.context = TaskContext(
                run.lease, handler.name, self._desk.queue, ends_at, report
            )
            args = (payload, run.context)
        else:
            args = (payload,)
        if handler.runs_aside:
            return await self._aside.run(handler.function, args, kwargs)
        if handler.is_async:
            return await cast("Awaitable[object]", handler.function(*args, **kwargs))
        return await self._in_thread(handler, args, kwargs)

    async def _in_thread(
        self, handler: Handler, args: tuple[object, ...], kwargs: dict[str, Json]
    ) -> object:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                min(MOST_THREADS, self._desk.config.concurrency), "quorate-task"
            )
        work = functools.partial(
            contextvars.copy_context().run, tellable(handler.function), *args, **kwargs
        )
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(self._threads, work)
        return await value if isinstance(value, Awaitable) else value

    def _over(self, run: Run, move: Move | None) -> None:
        lease = run.lease
        self._deadlines.drop(run, run.limit_s)
        if run.context is not None:
            run.context.close()
        del self._runs[lease.id]
        if not lease.lane:
            self._urgent -= 1
        if move is not None:
            self._measure(run, move.kind)
            self._end(lease, move, is_marked=run.is_marked or "l" in run.header.flow)

    def _end(self, lease: Lease, move: Move, *, is_marked: bool = False) -> None:
        self._finished(Finished(lease, move, is_marked))

    def _measure(self, run: Run, kind: MoveKind) -> None:
        lease, desk = run.lease, self._desk
        began_at = run.ends_at - run.limit_s
        run_s = desk.clock.monotonic() - began_at if run.ends_at else 0.0
        age_s = None if lease.has_record else age_of(lease.id, desk.clock.now())
        wait_s = None if age_s is None else max(0.0, age_s - run_s)
        self.measures.over(run.header.name, lease.lane, kind, run_s, wait_s)

    def _expired(self, run: Run, limit_s: float) -> None:
        if self.stop(run.lease.id, Stop.TIMEOUT):
            self._desk.emit(
                TaskTimedOut(
                    queue=self._desk.queue,
                    task=run.header.name,
                    task_id=run.lease.id,
                    limit_s=limit_s,
                )
            )

    async def _report(self, run: Run, progress: str) -> None:
        run.is_marked = True
        if not await self._desk.claims.report(run.lease, progress):
            raise StaleTokenError(
                f"The task {run.lease.id} is not ours any more.",
                "Its session ended, or it was given to another worker.",
                "Stop working on it.",
            )
