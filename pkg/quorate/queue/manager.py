"""The queue as an application sees it: enqueue, work, and look what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime

from quorate.backend import Backend
from quorate.core.codec import Json
from quorate.core.events import Emit
from quorate.core.ids import new_session_id
from quorate.core.lifecycle import Tasks
from quorate.lease.sweeper import Room

from .asking import Asking
from .choosing import queues_on
from .cooperating import Cooperating
from .counts import QueueCounts
from .declared import carry_with
from .flowing import Flows
from .guards import Rate, Slot, Unique
from .handlers import HandlerFunction, Handlers
from .looking import Looking
from .lookup import Lookup
from .model import DEFAULT_QUEUE, QueueConfig, Task, TaskPriority, check_tasks
from .outbox import outbox_of
from .patience import RetryPolicy
from .plain import UNSAID, several
from .ports import Broker
from .producer import Producer
from .scheduler import Bench, Scheduler
from .scheduling import Scheduling
from .scribe import Signpost
from .steering import Steering
from .times import moment_of
from .waiting import Waiting
from .workforce import Outfit, Workforce, WorkPlan

DEFAULT_WORKERS = 4


class QueueManager(Asking, Steering, Looking, Cooperating, Scheduling, Flows):
    """Queues on one open backend. `await start()` before use, `await stop()` after it.

    At least once: a task runs again if its worker died or lost its session, and a
    completion that comes too late is refused. Give handlers an effect that may be
    repeated, or fence it by `context.token`. While the server is away enqueueing fails
    with `StoreUnavailable`, and workers resume by themselves when it is back.
    """

    def __init__(
        self,
        backend: Backend,
        config: QueueConfig | None = None,
        emit: Emit | None = None,
        transport: Backend | None = None,
    ) -> None:
        self.config = config or QueueConfig()
        emit = emit or backend.emit
        self._emit = emit
        self._clock = backend.clock
        self._backend = backend
        self._servers = [each for each in (transport, backend) if each is not None]
        self._owned: list[Backend] = []
        self._tasks = Tasks(emit, backend.clock)
        self._queues = queues_on(backend, self.config, emit, transport)
        self._lookup = Lookup(self._queues.place, self.config.queues)
        self._mailbox = self._queues.mailbox(backend.session.id)
        self._waiting = Waiting(backend.clock)
        self._producer = Producer(self._broker, self.config, self._tasks, backend.clock)
        self._producer.longest_attempt_s = self._queues.longest_attempt_s
        self._producer.outbox = outbox_of(backend, self.config, self._broker)
        self._handlers = Handlers()
        self._workforce = Workforce(
            backend, self._queues, self._mailbox, self._handlers, self.config, emit
        )
        self._workforce.transport = transport
        bench = Bench(
            new_session_id(), self._producer.pack, emit, backend.clock, backend.chance
        )
        self._scheduler = Scheduler(bench)
        self._clock, self._asked = backend.clock, self
        self._leave: Callable[[], None] | None = None

    # -- opening and closing ---------------------------------------------------------

    async def start(self) -> None:
        """Be there for declared tasks, and tidy up after dead workers."""
        if self._producer.outbox is not None:
            await self._producer.outbox.start()
        room = Room(clean=self._queues.clean, index_key=self._queues.index_key)
        self._backend.sweeper.add(room)
        await self._queues.start()
        self._mailbox.on_over = self._waiting.over
        self._mailbox.on_gap = self._missed
        self._leave = carry_with(self)
        signpost = Signpost(
            lambda: self._lookup.used_here, lambda queue: self.place(queue).crew
        )
        self._lookup.on_new = self._tasks.employ(signpost).wake

    async def stop(self) -> None:
        """Let workers drain and end. Twice is harmless."""
        await self._scheduler.stop()
        await self._workforce.stop()
        if self._leave is not None:
            self._leave()
            self._leave = None
        self._mailbox.close()
        await self._tasks.close()
        await self._queues.stop()
        if self._producer.outbox is not None:
            await self._producer.outbox.stop()
        for server in self._owned:
            await server.stop()

    def owns_backend(self) -> None:
        """Its backends were opened for this manager alone: stop them together."""
        self._owned = self._servers

    def outfit(self, outfit: Outfit) -> None:
        """What worker processes are told about the node to open around them."""
        self._workforce.outfit = outfit

    async def __aenter__(self) -> QueueManager:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- tasks in --------------------------------------------------------------------

    async def enqueue_task(
        self,
        name: str,
        payload: Json = None,
        *,
        priority: TaskPriority = TaskPriority.NORMAL,
        queue: str = DEFAULT_QUEUE,
        delay_s: float = 0.0,
        at: float | datetime | None = None,
        task_id: str | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        expires_s: float | None = None,
        deadline_s: float | None = None,
        unique: Unique | None = None,
        slot: Slot | None = None,
        rate: Rate | None = None,
    ) -> str:
        """Put a task in and return its id, when the server has it.

        It waits for `delay_s`, or `at` a moment: a datetime with a zone, or seconds
        since the epoch. With a `task_id` of your own, asking twice enqueues once. If a
        `unique` key is taken, nothing is put in and the id is that of the task that has
        it. `Task` says what the other times mean. Raises `InvalidInput` before anything
        is sent; `StoreUnavailable` if nothing was enqueued; `OutcomeUnknown` if it may
        have been, and then names the id to repeat it with.
        """
        said = (
            task_id, unique, slot, rate, at, timeout_s, attempts, expires_s, deadline_s,
        )  # fmt: skip
        if delay_s == 0.0 and said == UNSAID:
            self._lookup.used(queue)
            return await self._producer.enqueue_plain(name, payload, queue, priority)
        return await self.carry(
            Task(
                name=name, payload=payload, queue=queue, priority=priority, id=task_id,
                delay_s=delay_s, at=moment_of(at), timeout_s=timeout_s,
                attempts=attempts, expires_s=expires_s, deadline_s=deadline_s,
                unique=unique, slot=slot, rate=rate,
            )
        )  # fmt: skip

    async def carry(self, task: Task) -> str:
        """Put a `Task` in; all of its options at hand."""
        self._lookup.used(task.queue)
        return await self._producer.enqueue(task)

    async def enqueue_many(self, tasks: Iterable[Task]) -> list[str]:
        """Put many tasks in, 256 a call; nothing if one of them is faulty.

        In the place of one whose unique key is taken stands the id of who has it.
        """
        listed = list(tasks)
        check_tasks(listed)
        self._lookup.used(*(task.queue for task in listed))
        return await self._producer.enqueue_many(listed)

    async def enqueue_each(
        self,
        name: str,
        payloads: Iterable[Json],
        *,
        priority: TaskPriority = TaskPriority.NORMAL,
        queue: str = DEFAULT_QUEUE,
    ) -> list[str]:
        """Put a task of this name in for each of the payloads, 256 a call.

        The quickest way for very many; otherwise like `enqueue_many`.
        """
        each = several(payloads)
        self._lookup.used(queue)
        return await self._producer.enqueue_each(name, each, queue, priority)

    # -- work ------------------------------------------------------------------------

    async def register_task_handler(
        self,
        name: str,
        handler: HandlerFunction,
        *,
        timeout_s: float | None = None,
        retry: RetryPolicy | None = None,
        service: str | None = None,
    ) -> None:
        """Let `handler(payload)`, or `handler(payload, context)`, do these tasks.

        While `service` is down its tasks wait. Register before `start_workers`. For
        worker processes it must be a function of a module; they find it by name.
        """
        self._handlers.add(
            name, handler, timeout_s=timeout_s, retry=retry, service=service
        )

    async def start_workers(
        self,
        worker_count: int = DEFAULT_WORKERS,
        *,
        in_process: bool = False,
        prepare: Sequence[str] = (),
        plan: WorkPlan | None = None,
    ) -> None:
        """Start working; returns when every worker is ready.

        Each worker is a process with its own session; `prepare` names functions
        (`module:function`) that each calls before it begins; `plan` says more than
        that. `in_process=True` works in this process instead, with any callable as a
        handler.
        """
        plan = plan or WorkPlan()
        plan = replace(plan, prepare=(*plan.prepare, *prepare))
        if in_process:
            await self._workforce.start_here(plan)
            served = plan.queues or self._workforce.queues_served()
            self._scheduler.look_after((q, self.place(q).schedules) for q in served)
        else:
            await self._workforce.start_children(worker_count, plan)
        await self._put_declared_schedules()

    async def stop_workers(self) -> None:
        """Let workers drain: what runs may end within the grace, the rest goes back."""
        await self._workforce.stop()

    def hurry(self) -> None:
        """While workers stop: wait no longer for what runs, give it back now."""
        self._workforce.hurry()

    # -- looking ---------------------------------------------------------------------

    def counts(self) -> QueueCounts:
        """Counts of this process and its workers, without asking the server."""
        return QueueCounts(
            enqueued_total=self._producer.enqueued,
            workers=len(self._workforce.pids),
            fired_total=self._scheduler.fired,
            on_disk=self._producer.outbox.waiting if self._producer.outbox else 0,
            **asdict(self._workforce.tally()),
        )

    def _broker(self, queue: str) -> Broker:
        return self.place(queue).broker

    def _missed(self) -> None:
        self._waiting.look_again()
        self._workforce.look_again()
