"""When to look again: sooner while undecided, later at what has long been down.

Many observers must not look in step, so every delay has some chance in it. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput

from .machine import Verdict
from .model import HealthState

JITTER = 0.1
PATIENT_AFTER = 10
LONGEST_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks: `interval_s`, and `retry_s` (a quarter) while undecided.

    Raises `InvalidInput` unless 0 < retry_s ≤ interval_s < infinity.
    """

    interval_s: float = 30.0
    retry_s: float = 7.5

    def __post_init__(self) -> None:
        if not 0 < self.retry_s <= self.interval_s < math.inf:
            raise InvalidInput(
                f"Looking every {self.interval_s} s, and every {self.retry_s} s while "
                "undecided, cannot be done.",
                "Both must be above 0, and the retry not longer than the interval.",
            )

    def first_delay_s(self, chance: Chance) -> float:
        """Anywhere in the first interval, so that many do not look at once."""
        return chance.uniform(0.0, self.interval_s)

    def next_delay_s(self, verdict: Verdict, chance: Chance) -> float:
        """After a look that led to `verdict`; jitter is ± 10 %."""
        base_s = self.interval_s if verdict.is_decided else self.retry_s
        if verdict.settled is HealthState.UNHEALTHY and verdict.is_decided:
            doublings = max(0, verdict.failed - PATIENT_AFTER)
            base_s *= min(LONGEST_FACTOR, 2.0 ** min(doublings, 8))
        return base_s * chance.uniform(1 - JITTER, 1 + JITTER)
