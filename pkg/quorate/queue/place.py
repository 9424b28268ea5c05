"""A queue from every side, and all queues of one server: what the manager stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .capabilities import EVERYTHING, Capability
from .crew import Crew, Nobody
from .desk import forever
from .flow_store import FlowStore
from .held import HeldTasks
from .ports import Broker, Claims, DeadLetters, QueueAdmin, Results
from .redis.mailbox import Mailbox
from .schedule_store import ScheduleStore


@dataclass(frozen=True, slots=True)
class Place:
    """One queue, from every side.

    `capabilities` are what its broker can do beyond carrying tasks; an attempt is
    stopped after `longest_attempt_s`, which may become less.
    """

    queue: str
    tag: str
    broker: Broker
    claims: Claims
    results: Results
    dead_letters: DeadLetters
    admin: QueueAdmin
    capabilities: frozenset[Capability] = field(default=EVERYTHING)
    longest_attempt_s: Callable[[], float] = forever
    schedules: ScheduleStore | None = None
    flows: FlowStore | None = None
    held: HeldTasks | None = None
    crew: Crew = field(default_factory=Nobody)


class Queues(Protocol):
    """The queues of one server, opened when first needed."""

    @property
    def longest_attempt_s(self) -> float:
        """An attempt that may take longer is refused."""
        ...

    def place(self, queue: str) -> Place:
        """The queue of this name."""
        ...

    def mailbox(self, session_id: str) -> Mailbox:
        """Where this process hears of its tasks."""
        ...

    def index_key(self, tag: str) -> str:
        """The sessions with claims in any queue of `tag`."""
        ...

    async def clean(self, tag: str, session: str) -> None:
        """Put back what a dead session has claimed in this tag. May be repeated."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
