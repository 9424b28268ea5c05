"""Who works on the tasks: this process itself, or children under a supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from quorate.backend import Backend
from quorate.core.codec import Json
from quorate.core.errors import InvalidInput, MissingCapability, QuorateError
from quorate.core.events import Emit
from quorate.core.lifecycle import to_the_end

from .capabilities import too_long
from .counts import WorkerTally, added_up
from .declared import all_declared
from .desk import Desk
from .handlers import Handlers
from .held import IsUp
from .measures import Rows, together
from .model import QueueConfig
from .orders import Orders, order_of
from .place import Queues
from .post import Patience, Tools
from .recycling import Recycler, RecycleTerms
from .redis.mailbox import Mailbox
from .references import main_module
from .sights import WorkerSight
from .supervisor import Lookout, Supervisor
from .tuning import UNTUNED, TuningOf
from .worker import Worker

MOST_WORKERS = 1024

Outfit = Callable[[], Json]
"""What a child must know to open the node around its worker; None opens none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPlan:
    """What workers do before they begin, and for which queues.

    `modules` are imported for the tasks that they declare, `prepare` names functions
    (`module:function`) to call then. Without `queues` they serve the configured ones
    and those that declared tasks name. `output` is a descriptor that takes what worker
    processes print; without it they share this process's.
    """

    modules: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    output: int | None = None


class Workforce:
    """Starts and stops those who work. At most one kind at a time."""

    def __init__(
        self,
        backend: Backend,
        queues: Queues,
        mailbox: Mailbox,
        handlers: Handlers,
        config: QueueConfig,
        emit: Emit,
    ) -> None:
        self._backend = backend
        self._config = config
        self._emit = emit
        self._queues = queues
        self._handlers = handlers
        self._worker = Worker(backend.session, mailbox, handlers, emit, backend.clock)
        self._supervisor: Supervisor | None = None
        self._before = WorkerTally()
        self._tuning_of: TuningOf = lambda _queue: UNTUNED
        self._is_up: IsUp | None = None
        self._rows_before: Rows = {}
        self.outfit: Outfit = lambda: None
        self.transport: Backend | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes that run now."""
        return self._supervisor.pids if self._supervisor is not None else ()

    def tally(self) -> WorkerTally:
        """Counts over all who work or have worked here."""
        tallies = [self._before, self._worker.tally()]
        if self._supervisor is not None:
            tallies.append(self._supervisor.tally())
        return added_up(tallies)

    def look_again(self) -> None:
        self._worker.look_again()

    def hurry(self) -> None:
        """While they stop: wait no longer for what runs."""
        if self._supervisor is not None:
            self._supervisor.hurry()
        self._worker.hurry()

    def rows(self) -> Rows:
        """The measures of all who work or have worked here."""
        parts = [self._rows_before, self._worker.rows()]
        if self._supervisor is not None:
            parts.append(self._supervisor.rows())
        return together(parts)

    def sights(self) -> tuple[WorkerSight, ...]:
        """Each worker process as it stands now."""
        return self._supervisor.sights() if self._supervisor is not None else ()

    def tune(self, tuning_of: TuningOf) -> None:
        """Work as this says from now on."""
        self._tuning_of = tuning_of
        self._worker.tune(self._config, tuning_of)

    def heed_services(self, is_up: IsUp) -> None:
        """Who is asked how services are, by workers that start from now on."""
        self._is_up = is_up

    def queues_served(self) -> tuple[str, ...]:
        """The configured queues, and those that declared tasks name."""
        names = dict.fromkeys(self._config.queues)
        names.update(dict.fromkeys(each.template.queue for each in all_declared()))
        return tuple(names)

    async def start_here(self, plan: WorkPlan) -> None:
        """Work in this process, in its event loop."""
        self._refuse_twice()
        self._take_declared()
        served = plan.queues or self.queues_served()
        await self._worker.start([self._desk(queue, len(served)) for queue in served])
        self._worker.tune(self._config, self._tuning_of)

    async def start_children(self, count: int, plan: WorkPlan) -> None:
        """Work in `count` processes. Everything is checked before one is started."""
        self._refuse_twice()
        if type(count) is not int or not 1 <= count <= MOST_WORKERS:
            raise InvalidInput(
                f"{count!r} workers cannot be started.",
                "",
                f"Give a number from 1 to {MOST_WORKERS}.",
            )
        self._take_declared()
        backend, config = self._backend, self._config
        if backend.server.scheme == "memory":
            raise MissingCapability(
                "memory:// has no worker processes: it lives inside this process.",
                "",
                "Use start_workers(in_process=True), or embedded:// instead.",
            )
        orders = self._orders(plan)
        patience = Patience(
            config.grace_s, config.stall_warned_at_s, config.max_stall_s
        )
        terms = RecycleTerms(config.recycle_after_tasks, config.recycle_above_bytes)
        tools = Tools(
            self._emit, backend.clock, backend.chance, Recycler(terms), plan.output
        )
        tag = self._queues.place((plan.queues or config.queues)[0]).tag
        lookout = Lookout(backend.session, tag)
        supervisor = Supervisor(orders.line(), patience, self._bury, tools, lookout)
        self._supervisor = supervisor
        try:
            await supervisor.start(count)
        except BaseException:
            self._supervisor = None
            await to_the_end(supervisor.stop(), "stop the workers")
            raise

    async def stop(self) -> None:
        """Let everybody drain and end. Twice is harmless."""
        if self._supervisor is not None:
            supervisor = self._supervisor
            await supervisor.stop()
            self._before = added_up((self._before, supervisor.tally()))
            self._rows_before = together((self._rows_before, supervisor.rows()))
            self._supervisor = None
        if self._worker.is_working:
            await self._worker.stop(self._config.grace_s)

    def _desk(self, queue: str, peers: int) -> Desk:
        backend, place = self._backend, self._queues.place(queue)
        return Desk(
            queue=queue,
            tag=place.tag,
            channel=self._worker.channel_in(place.tag),
            config=self._config,
            broker=place.broker,
            claims=place.claims,
            session=backend.session,
            emit=self._emit,
            clock=backend.clock,
            chance=backend.chance,
            peers=peers,
            is_up=self._is_up,
            held=place.held,
            crew=place.crew,
            longest_attempt_s=place.longest_attempt_s,
        )

    def _orders(self, plan: WorkPlan) -> Orders:
        backend = self._backend
        found = (self._handlers.find(name) for name in self._handlers.names)
        return Orders(
            url=backend.server.address.shared,
            namespace=backend.namespace,
            terms=backend.session.terms,
            config=self._config,
            handlers=tuple(order_of(handler) for handler in found if handler),
            main=main_module(),
            path=tuple(entry for entry in sys.path if entry),
            prepare=plan.prepare,
            modules=plan.modules,
            queues=plan.queues,
            outfit=self.outfit(),
            transport=self.transport.server.address.shared if self.transport else "",
        )

    def _take_declared(self) -> None:
        for declared in all_declared():
            self._handlers.add(
                declared.template.name,
                declared.run,
                timeout_s=declared.template.timeout_s,
                retry=declared.retry,
            )
        longest_s = self._queues.longest_attempt_s
        for name in self._handlers.names:
            handler = self._handlers.find(name)
            limit_s = handler.timeout_s if handler is not None else None
            if limit_s is not None and limit_s > longest_s:
                raise too_long(limit_s, longest_s, name)

    def _refuse_twice(self) -> None:
        if self._supervisor is not None or self._worker.is_working:
            raise InvalidInput(
                "The workers have been started already.",
                "",
                "Stop them first: await stop_workers().",
            )

    async def _bury(self, tag: str, session: str) -> None:
        """A child is gone: end its session and put its tasks back at once."""
        try:
            await self._backend.server.sessions().end(tag, session)
            await self._queues.clean(tag, session)
        except QuorateError:
            # The store is away as well: the session ends by itself, and the sweeper
            # of any process finds it.
            self._backend.sweeper.look_in(tag, self._backend.session.terms.ttl_s)
            return
        self._backend.sweeper.look_in(tag, 0.0)
