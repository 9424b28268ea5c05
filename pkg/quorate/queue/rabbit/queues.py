"""All task queues of one RabbitMQ."""

from __future__ import annotations

import functools

from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.queue.capabilities import TRANSPORT_ONLY, too_long
from quorate.queue.model import QueueConfig
from quorate.queue.place import Place
from quorate.queue.redis.mailbox import Mailbox
from quorate.wire.rabbit import RabbitWire

from .absent import NoAdmin, NoResults
from .allowance import Allowance
from .bells import Bells
from .broker import RabbitBroker
from .dead_letters import RabbitDeadLetters
from .reception import Reception
from .topology import Topology
from .watchdog import Watchdog


class RabbitQueues:
    """The queues of one broker, opened when first needed."""

    def __init__(self, wire: RabbitWire, config: QueueConfig, emit: Emit) -> None:
        self._wire = wire
        self._config = config
        self._emit = emit
        self._bells = Bells()
        self._brokers: dict[str, RabbitBroker] = {}
        self._places: dict[str, Place] = {}
        self._tasks = Tasks(emit, wire.clock)
        self._allowance = Allowance(wire.version, emit)
        if config.attempt_timeout_s > self.longest_attempt_s:
            raise too_long(
                config.attempt_timeout_s,
                self.longest_attempt_s,
                "attempt_timeout_s: a task",
            )

    @property
    def longest_attempt_s(self) -> float:
        """How long a task may run before the broker takes it away."""
        return self._allowance.longest_attempt_s

    async def start(self) -> None:
        """Look after the consumers from now on."""
        self._tasks = Tasks(self._emit, self._wire.clock)
        self._wire.consuming.on_open(self._bells.look_again)
        self._tasks.employ(Watchdog(self._wire, self._brokers, self._emit))

    async def stop(self) -> None:
        await self._tasks.close()

    def place(self, queue: str) -> Place:
        """The queue of this name."""
        found = self._places.get(queue)
        if found is None:
            wire = self._wire
            topology = Topology(wire.tag, queue, self._config, wire.version)
            broker = RabbitBroker(wire, topology, self._bells.tell)
            self._heed(broker.reception, queue)
            self._brokers[queue] = broker
            found = self._places[queue] = Place(
                queue=queue,
                tag=wire.tag,
                broker=broker,
                claims=broker,
                results=NoResults(),
                dead_letters=RabbitDeadLetters(broker.sending),
                admin=NoAdmin(),
                capabilities=TRANSPORT_ONLY,
                longest_attempt_s=lambda: self.longest_attempt_s,
            )
        return found

    def _heed(self, reception: Reception, queue: str) -> None:
        """Hear what is taken away there, and keep nothing there for too long."""
        allowance = self._allowance
        reception.told_broken = functools.partial(allowance.heard, queue)
        reception.longest_wait_s = lambda: allowance.longest_wait_s

    def mailbox(self, session_id: str) -> Mailbox:
        """Where this process hears of its tasks: from itself."""
        return Mailbox(self._bells, session_id)

    def index_key(self, tag: str) -> str:
        """There is no index: the broker knows who holds what."""
        return ""

    async def clean(self, tag: str, session: str) -> None:
        """The broker has put everything back when the connection broke."""
        return
