"""Tasks in: checked, sealed, and put in with one call for all of one loop tick.

Whoever enqueues waits until the server has the task. Callers of the same turn of the
event loop share a call; a crowd costs hardly more than one. Everything is checked
before anything is sent. Inside a lock a call carries its token, and is refused when a
later holder of that lock has put something into the same queue; inside a handler it is
refused when the handler's worker has lost its session.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from quorate.core.clock import Clock
from quorate.core.codec import Json
from quorate.core.errors import (
    InvalidInput,
    OutcomeUnknown,
    QueueError,
    StoreUnavailable,
)
from quorate.core.fence import Fence, TaskFence, current_fence
from quorate.core.ids import new_task_id
from quorate.core.lifecycle import Tasks
from quorate.core.names import check_name

from .capabilities import too_long
from .envelope import Header, seal
from .guards import guard_line
from .model import QueueConfig, Task, TaskPriority
from .outbox import Outbox
from .plain import Forms
from .ports import Broker, Parcel
from .times import check_times, deadline_of
from .undelivered import Waiter, give_up, named, sent

MOST_IN_A_CALL = 256
MOST_BYTES_IN_A_CALL = 4 * 1024 * 1024
CALLS_AT_ONCE = 8
UNGUARDED = (None, None, None)
MOST_NAMES_REMEMBERED = 4096


class Producer:
    """Puts tasks into queues."""

    def __init__(
        self,
        broker_of: Callable[[str], Broker],
        config: QueueConfig,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self._broker_of = broker_of
        self._config = config
        self._tasks = tasks
        self._clock = clock
        self._leaving: dict[tuple[str, Fence | None], list[Waiter]] = {}
        self._good_names: set[tuple[str, str]] = set()
        self._forms = Forms(config.payload_max_bytes)
        self.enqueued = 0
        self.longest_attempt_s = math.inf
        self.outbox: Outbox | None = None

    def enqueue(self, task: Task) -> asyncio.Future[str]:
        """Put one task in; the future has its id when the server has the task.

        Or the id of the task with its unique key. Cancelling who waits for it does not
        stop it.
        """
        return self._leave(task.queue, self.pack(task))

    def enqueue_plain(
        self, name: str, payload: Json, queue: str, priority: TaskPriority
    ) -> asyncio.Future[str]:
        """The same for a task of which nothing else is said."""
        form = self._forms.of(name, queue, priority)
        if form is None:
            task = Task(name=name, payload=payload, queue=queue, priority=priority)
            return self.enqueue(task)
        parcel = self._forms.fill(form, payload, self._clock.now())
        return self._leave(queue, parcel)

    def _leave(self, queue: str, parcel: Parcel) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        if not self._leaving:
            loop.call_soon(self._flush)
        under = (queue, acting_under())
        line = self._leaving.get(under)
        if line is None:
            line = self._leaving[under] = []
        line.append((parcel, done))
        return done

    async def enqueue_many(self, tasks: Iterable[Task]) -> list[str]:
        """Put many in, in their order. Nothing is sent if one of them is faulty."""
        by_queue: dict[str, list[Parcel]] = {}
        ids: list[str] = []
        instead: dict[str, str] = {}
        for task in tasks:
            parcel = self.pack(task)
            by_queue.setdefault(task.queue, []).append(parcel)
            ids.append(parcel.id)
        fence = acting_under()
        for queue, parcels in by_queue.items():
            instead |= await self._carry(queue, parcels, fence)
        return [instead.get(task_id, task_id) for task_id in ids]

    async def enqueue_each(
        self, name: str, payloads: Sequence[Json], queue: str, priority: TaskPriority
    ) -> list[str]:
        """Put a task in for each payload; nothing if one of them is faulty."""
        form = self._forms.of(name, queue, priority)
        if form is None:
            return await self.enqueue_many(
                Task(name=name, payload=payload, queue=queue, priority=priority)
                for payload in payloads
            )
        parcels = self._forms.fill_each(form, payloads, self._clock.now())
        await self._carry(queue, parcels, acting_under())
        return [parcel.id for parcel in parcels]

    async def _carry(
        self, queue: str, parcels: list[Parcel], fence: Fence | None
    ) -> dict[str, str]:
        """Some calls at once. Returns the tasks that stand for others, by those."""
        instead: dict[str, str] = {}
        broker, calls = self._broker_of(queue), list(in_calls(parcels))
        for start in range(0, len(calls), CALLS_AT_ONCE):
            group = calls[start : start + CALLS_AT_ONCE]
            answers = await asyncio.gather(
                *(self._deliver(queue, broker, call, fence) for call in group)
            )
            for call, answer in zip(group, answers, strict=True):
                instead |= self._count(call, answer)
        return instead

    def _count(
        self, call: Sequence[Parcel], answer: Sequence[bool | str]
    ) -> dict[str, str]:
        """Count what was put in. Returns the tasks that stand for others, by those."""
        if str not in map(type, answer):
            self.enqueued += len(call)
            return {}
        instead = {
            parcel.id: holder
            for parcel, holder in zip(call, answer, strict=True)
            if isinstance(holder, str)
        }
        self.enqueued += len(call) - len(instead)
        return instead

    def pack(self, task: Task) -> Parcel:
        """The task as the server gets it. Raises `InvalidInput` for a faulty one."""
        now, form = self._clock.now(), self._forms.of_task(task)
        if form is not None:
            return self._forms.fill(form, task.payload, now)
        parcel = self._pack(task, now)
        self._forms.learn(task, parcel)
        return parcel

    def _pack(self, task: Task, now: float) -> Parcel:
        self._check_name(task.name, "task")
        self._check_name(task.queue, "queue")
        if not isinstance(task.priority, TaskPriority):
            raise InvalidInput(
                f"The task {task.name!r} has the priority {task.priority!r}.",
                "",
                "Use TaskPriority.HIGH, NORMAL or LOW.",
            )
        if task.id is not None:
            check_name(task.id, "task id")
        if task.service is not None:
            self._check_name(task.service, "service")
        check_times(task)
        if task.timeout_s is not None and task.timeout_s > self.longest_attempt_s:
            raise too_long(task.timeout_s, self.longest_attempt_s, task.name)
        expires_at = None if task.expires_s is None else now + task.expires_s
        header = Header(
            task.name, task.timeout_s, task.attempts, expires_at, task.keep_result_s,
            task.is_call, deadline_of(task, now), task.service, task.flow,
        )  # fmt: skip
        guards = (task.unique, task.slot, task.rate)
        envelope = seal(header, task.payload, self._config.payload_max_bytes)
        if guards != UNGUARDED:
            envelope = guard_line(task.name, task.payload, guards) + envelope
        return Parcel(
            task.id or new_task_id(now), task.priority.lane, task.delay_s, envelope,
            task.at,
        )  # fmt: skip

    def _check_name(self, name: str, what: str) -> None:
        if (what, name) in self._good_names:
            return
        check_name(name, what)
        if len(self._good_names) >= MOST_NAMES_REMEMBERED:
            self._good_names.clear()
        self._good_names.add((what, name))

    def _flush(self) -> None:
        leaving, self._leaving = self._leaving, {}
        for (queue, fence), waiters in leaving.items():
            for start in range(0, len(waiters), MOST_IN_A_CALL):
                part = waiters[start : start + MOST_IN_A_CALL]
                work = self._send(queue, fence, part)
                try:
                    sending = self._tasks.spawn(work, "enqueue")
                except RuntimeError:
                    give_up(part)
                else:
                    sending.add_done_callback(functools.partial(sent, part))

    async def _send(
        self, queue: str, fence: Fence | None, waiters: list[Waiter]
    ) -> None:
        waiting = iter(waiters)
        try:
            broker = self._broker_of(queue)
            for call in in_calls([parcel for parcel, _ in waiters]):
                answer = await self._deliver(queue, broker, call, fence)
                instead = self._count(call, answer)
                for _ in call:
                    parcel, done = next(waiting)
                    if not done.done():
                        done.set_result(instead.get(parcel.id, parcel.id))
        except Exception as error:
            for parcel, done in waiting:
                if not done.done():
                    done.set_exception(named(error, parcel.id))

    async def _deliver(
        self, queue: str, broker: Broker, call: list[Parcel], fence: Fence | None
    ) -> Sequence[bool | str]:
        """To the server; or on the disk, if it is away and that was asked for."""
        outbox = self.outbox
        if outbox is None or fence is not None:
            return await broker.enqueue(call, fence)
        if outbox.is_holding and outbox.has_room:
            await outbox.hold(queue, call)
            return [True] * len(call)
        try:
            return await broker.enqueue(call, None)
        except (StoreUnavailable, OutcomeUnknown) as error:
            try:
                await outbox.hold(queue, call)
            except QueueError as full:
                raise error from full
            return [True] * len(call)


def acting_under() -> Fence | None:
    """The grant of the lock around the running code, or the session of its worker.

    All handlers of a worker share its calls: that it lives is tested once for all.
    """
    fence = current_fence()
    return fence.worker if isinstance(fence, TaskFence) else fence


def in_calls(parcels: list[Parcel]) -> Iterator[list[Parcel]]:
    """`parcels` in portions that one call may carry."""
    call: list[Parcel] = []
    size = 0
    for parcel in parcels:
        size += len(parcel.envelope)
        if call and (len(call) >= MOST_IN_A_CALL or size > MOST_BYTES_IN_A_CALL):
            yield call
            call, size = [], len(parcel.envelope)
        call.append(parcel)
    if call:
        yield call
