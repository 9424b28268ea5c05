"""How long the broker lets a task be out before it takes it away.

No broker says so when it is asked. What its version allows is assumed, until it takes a
delivery away and names the time: then attempts are cut to what is allowed, and nothing
waits here for long before it begins. So that happens to a process once, not for ever.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Emit, Event

from .topology import SPARE_S, longest_attempt_s

SAID = re.compile(r"acknowledgement.* timed out.*?(\d+) ms", re.DOTALL)
MOST_SPARED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksTakenAway(Event):
    """RabbitMQ took tasks away that ran longer than its consumer_timeout.

    From now on attempts here end before that. For tasks that need longer raise
    consumer_timeout, or keep the state in a Redis beside it.
    """

    level: ClassVar[str] = "error"
    queue: str
    consumer_timeout_s: float
    longest_attempt_s: float


class Allowance:
    """What is known of it in this process. `longest_wait_s`: from delivery to claim."""

    def __init__(self, version: tuple[int, ...], emit: Emit) -> None:
        self.longest_attempt_s = longest_attempt_s(version)
        self.longest_wait_s = math.inf
        self._emit = emit

    def heard(self, queue: str, error: BaseException | None) -> None:
        """A channel of this queue was closed for this reason."""
        found = SAID.search(str(error))
        if found is None:
            return
        timeout_s = int(found[1]) / 1000
        spare_s = min(SPARE_S, timeout_s * MOST_SPARED)
        if timeout_s - spare_s >= self.longest_attempt_s:
            return
        self.longest_attempt_s = timeout_s - spare_s
        self.longest_wait_s = spare_s / 2
        self._emit(
            TasksTakenAway(
                queue=queue,
                consumer_timeout_s=timeout_s,
                longest_attempt_s=self.longest_attempt_s,
            )
        )
