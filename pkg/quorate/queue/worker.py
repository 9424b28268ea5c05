"""The worker in a process: one consumer for each of its queues.

The same object works in the process that made it (`in_process=True`) and in a child of
the supervisor. Its claims hang on the session of its process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quorate.core.clock import Clock
from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.lease.session import Session

from .consumer import Consumer
from .counts import WorkerTally, added_up
from .desk import Desk
from .handlers import Handlers
from .measures import Rows, together
from .model import QueueConfig
from .redis.mailbox import Mailbox
from .roll_caller import RollCaller
from .run import Stop
from .scribe import Scribe
from .tally import Tally
from .tuning import TuningOf

BEAT_S = 0.02
CLEAN_UP_S = 2.0
"""Cancelled tasks have so long to tidy up, and what is left to be settled."""

HURRIED_CLEAN_UP_S = 1.0


class Worker:
    """Works on tasks until it is stopped."""

    def __init__(
        self,
        session: Session,
        mailbox: Mailbox,
        handlers: Handlers,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._session = session
        self._mailbox = mailbox
        self._handlers = handlers
        self._clock = clock
        self._emit = emit
        self._tasks = Tasks(emit, clock)
        self._consumers: dict[str, Consumer] = {}
        self._desks: list[Desk] = []
        self._leave_session: Callable[[], None] | None = None
        self._is_hurried = False
        self._before = WorkerTally()
        self._rows_before: Rows = {}

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(self._consumers)

    def channel_in(self, tag: str) -> str:
        """Where this process hears of the queues of this tag."""
        return self._mailbox.channel_in(tag)

    @property
    def is_working(self) -> bool:
        return bool(self._consumers)

    async def start(self, desks: list[Desk]) -> None:
        """Begin to claim from these queues."""
        self._tasks = Tasks(self._emit, self._clock)
        self._mailbox.on_work = self._work_came
        self._mailbox.on_cancel = self._cancelled
        self._leave_session = self._session.on_lost(self._lost)
        for desk in desks:
            await self._mailbox.open(desk.tag)
        for desk in desks:
            consumer = Consumer(desk, self._handlers, self._tasks)
            self._consumers[desk.queue] = consumer
            self._desks.append(desk)
            self._tasks.employ(RollCaller(desk, consumer, self._handlers))
            self._tasks.employ(Scribe(desk, consumer))
            if desk.is_up is not None:
                consumer.usher.wake = self._tasks.employ(consumer.usher).wake
            consumer.start()

    async def stop(self, grace_s: float) -> None:
        """Claim no more, let running tasks end within `grace_s`, give back the rest."""
        consumers = tuple(self._consumers.values())
        for consumer in consumers:
            consumer.drain()
        if not await self._quiet(grace_s):
            for consumer in consumers:
                consumer.running.stop_all(Stop.RELEASE)
            await self._cleaned_up()
        await self._tasks.close()
        for consumer in consumers:
            consumer.close()
        if self._leave_session is not None:
            self._leave_session()
            self._leave_session = None
        await self._leave()
        self._before = replace(self.tally(), running=0)
        self._rows_before = self.rows()
        self._is_hurried = False
        self._consumers.clear()
        self._desks.clear()

    def tune(self, config: QueueConfig, tuning_of: TuningOf) -> None:
        """Work as `tuning_of` says of each queue, beyond what `config` says of all."""
        for queue, consumer in self._consumers.items():
            tuning = tuning_of(queue)
            consumer.tune(tuning.applied(config), paused=tuning.paused)

    def hurry(self) -> None:
        """While it stops: wait no longer for running tasks."""
        self._is_hurried = True

    def look_again(self) -> None:
        """Messages may have been missed."""
        for consumer in self._consumers.values():
            consumer.look_again()

    def tally(self) -> WorkerTally:
        """Counts over all queues since this process began."""
        tallies = [consumer.tally for consumer in self._consumers.values()]
        running = sum(len(each.running) for each in self._consumers.values())

        def total(name: str) -> int:
            return sum(getattr(tally, name) for tally in tallies)

        counts = {f"{name}_total": total(name) for name in Tally.__slots__}
        budgets = (each.running.budgets for each in self._consumers.values())
        now = WorkerTally(
            **counts,
            running=running,
            postponed_total=sum(each.postponed for each in budgets),
        )
        return added_up((self._before, now))

    def rows(self) -> Rows:
        """The measures of all queues since this process began."""
        now = (each.running.measures.rows for each in self._consumers.values())
        return together((self._rows_before, *now))

    def _work_came(self, queue: str) -> None:
        consumer = self._consumers.get(queue)
        if consumer is not None:
            consumer.ring()

    def _cancelled(self, about: str) -> None:
        """An id alone would not do: each queue has ids of its own."""
        queue, _, task_id = about.partition("\n")
        consumer = self._consumers.get(queue)
        if consumer is not None:
            consumer.stop(task_id, Stop.CANCEL)

    def _lost(self, tag: str, session: str) -> None:
        for desk in self._desks:
            if desk.tag == tag:
                self._consumers[desk.queue].lost(session)

    @property
    def _is_busy(self) -> bool:
        return any(consumer.is_busy for consumer in self._consumers.values())

    async def _quiet(self, within_s: float) -> bool:
        """Wait until nothing is claimed any more; False if that takes too long."""
        ends_at = self._clock.monotonic() + within_s
        while self._is_busy:
            if self._is_hurried or self._clock.monotonic() >= ends_at:
                return False
            await self._clock.sleep(BEAT_S)
        return True

    async def _cleaned_up(self) -> None:
        """Wait until what was stopped has tidied up and is settled."""
        began = self._clock.monotonic()
        while self._is_busy:
            most_s = HURRIED_CLEAN_UP_S if self._is_hurried else CLEAN_UP_S
            if self._clock.monotonic() - began >= most_s:
                return
            await self._clock.sleep(BEAT_S)

    async def _leave(self) -> None:
        for desk in self._desks:
            name = self._session.name_in(desk.tag)
            if name is None:
                continue
            try:
                await desk.claims.leave(name)
                await desk.crew.leave(name)
            except (StoreUnavailable, OutcomeUnknown):
                # The sweeper of another process will see that there is nothing left.
                return
