"""What the parts of one queue's worker share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from quorate.core.clock import Chance, Clock
from quorate.core.events import Emit
from quorate.lease.session import Session

from .crew import Crew, Nobody
from .held import HeldTasks, IsUp
from .model import QueueConfig
from .ports import Broker, Claims


def forever() -> float:
    """An attempt may take as long as it likes."""
    return math.inf


@dataclass(frozen=True, slots=True)
class Desk:
    """One queue, and the tools to work on it.

    `channel` is where this process hears messages; `peers` is how many queues it
    serves, which share its idle traffic. `is_up` knows how services are, `held` the
    tasks that wait for them. An attempt is stopped after `longest_attempt_s`.
    """

    queue: str
    tag: str
    channel: str
    config: QueueConfig
    broker: Broker
    claims: Claims
    session: Session
    emit: Emit
    clock: Clock
    chance: Chance
    peers: int = 1
    crew: Crew = field(default_factory=Nobody)
    is_up: IsUp | None = None
    held: HeldTasks | None = None
    longest_attempt_s: Callable[[], float] = forever
