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
from enum import Enum
from typing import cast

from quorate.core.codec import Json, encode
from quorate.core.errors import InvalidPayload, StaleTokenError
from quorate.core.failpoint import failpoint
from quorate.core.lifecycle import Tasks

from .context import TaskContext
from .deadlines import Deadlines
from .decide import (
    Failure,
    after_cancel,
    after_failure,
    after_release,
    after_success,
    dead,
    failure_of,
    when_unknown,
)
from .desk import Desk
from .envelope import Header, read_header, read_payload
from .events import TaskTimedOut
from .flow import with_before
from .handlers import Handler, Handlers
from .model import DeadReason, Lease, Move, RetryPolicy
from .ports import Finished

MOST_THREADS = 32
NULL = b"null"
TIDY_UP_S = 1.0


class Stop(Enum):
    """Why an attempt is stopped from outside."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    RELEASE = "release"
    LOST = "lost"


class Run:
    """One attempt under way."""

    __slots__ = (
        "begun", "context", "handler", "header", "is_marked", "is_read", "lease",
        "limit_s", "payload", "stop", "task",
    )  # fmt: skip

    def __init__(
        self, lease: Lease, header: Header, payload: bytes, handler: Handler
    ) -> None:
        self.lease = lease
        self.header = header
        self.payload = payload
        self.handler = handler
        self.limit_s = 0.0
        self.begun = False
        self.stop: Stop | None = None
        self.is_marked = False
        self.is_read = False
        self.context: TaskContext | None = None
        self.task: asyncio.Task[None] | None = None


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
        self.known_elsewhere: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def urgent(self) -> int:
        """How many of them came from the first lane."""
        return self._urgent

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
        if header.expires_at is not None and self._desk.clock.now() > header.expires_at:
            why = "It was not begun before it expired."
            self._end(lease, dead(lease, DeadReason.EXPIRED, why))
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
        run = Run(lease, header, payload, handler)
        run.limit_s = (
            header.timeout_s or handler.timeout_s or self._desk.config.attempt_timeout_s
        )
        self._runs[lease.id] = run
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
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _live(self, run: Run) -> None:
        run.begun = True
        if run.stop is not None:
            # It was stopped between its claim and its first step.
            self._over(run, self._after_stop(run))
            return
        ends_at = self._deadlines.add(run, run.limit_s)
        try:
            await failpoint("queue.after_claim_before_run")
            value = await self._call(run, ends_at)
            move = self._success(run, value)
            await failpoint("queue.after_run_before_settle")
        except asyncio.CancelledError:
            self._over(run, self._after_stop(run))
            raise
        except (Exception, SystemExit) as error:
            self._over(run, self._failed(run, error))
        else:
            self._over(run, move)

    async def _call(self, run: Run, ends_at: float) -> object:
        handler = run.handler
        payload = read_payload(run.payload)
        run.is_read = True
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
            contextvars.copy_context().run, handler.function, *args, **kwargs
        )
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(self._threads, work)
        return await value if isinstance(value, Awaitable) else value

    def _success(self, run: Run, value: object) -> Move:
        config = self._desk.config
        keep_s = run.header.keep_result_s
        keep_s = config.result_ttl_s if keep_s is None else keep_s
        try:
            body = (
                NULL
                if value is None
                else encode(value, "result", config.result_max_bytes)
            )
        except InvalidPayload as error:
            return dead(run.lease, DeadReason.BAD_RESULT, str(error))
        return after_success(body, keep_s)

    def _failed(self, run: Run, error: BaseException) -> Move:
        if not run.is_read and isinstance(error, InvalidPayload):
            return dead(run.lease, DeadReason.UNDECODABLE, str(error))
        policy = self._policy(run)
        failure = failure_of(error, policy)
        return after_failure(run.lease, failure, policy, self._desk.chance)

    def _after_stop(self, run: Run) -> Move | None:
        if run.stop is Stop.LOST:
            return None
        if run.stop is Stop.RELEASE:
            return after_release(run.lease)
        if run.stop is Stop.CANCEL:
            return after_cancel(self._desk.config.result_ttl_s)
        policy = self._policy(run)
        if run.stop is Stop.TIMEOUT:
            words = f"TaskTimeout: the attempt ran longer than {run.limit_s:g} s."
        else:
            words = "CancelledError: something that it waited for was cancelled."
        return after_failure(run.lease, Failure(words), policy, self._desk.chance)

    def _policy(self, run: Run) -> RetryPolicy:
        policy = run.handler.retry or self._desk.config.retry
        attempts = run.header.attempts
        if attempts is None or attempts == policy.attempts:
            return policy
        return RetryPolicy(attempts, policy.backoff, policy.give_up_on)

    def _over(self, run: Run, move: Move | None) -> None:
        lease = run.lease
        self._deadlines.drop(run, run.limit_s)
        if run.context is not None:
            run.context.close()
        del self._runs[lease.id]
        if not lease.lane:
            self._urgent -= 1
        if move is not None:
            self._end(lease, move, is_marked=run.is_marked or "l" in run.header.flow)

    def _end(self, lease: Lease, move: Move, *, is_marked: bool = False) -> None:
        self._finished(Finished(lease, move, is_marked))

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
