"""When to look again: sooner while undecided, later at what has long been down.

Many observers must not look in step, so every delay has some chance in it. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput

from .machine import Verdict

JITTER = 0.1


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
        base_s = self.retry_s
        if verdict.is_decided:
            base_s = self.interval_s * verdict.rests
        return base_s * chance.uniform(1 - JITTER, 1 + JITTER)
