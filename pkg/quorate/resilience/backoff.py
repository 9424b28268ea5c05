"""How long to rest before attempt n.

A backoff is a rising ceiling; the delay is drawn evenly between nothing and the
ceiling ("full jitter"), so that many clients that failed together do not come back
together. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015. Pure: chance is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput

_HIGHEST_POWER = 1000
"""Above this a doubling would leave the floats; every cap was passed long before."""


class Growth(Enum):
    """How the ceiling rises from one attempt to the next."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    CONSTANT = "constant"


class Jitter(Enum):
    """How much of the delay is left to chance."""

    FULL = "full"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow from `base_s` and never pass `cap_s`, both in seconds.

    Raises `InvalidInput` unless 0 < base_s ≤ cap_s < infinity.
    """

    base_s: float = 1.0
    cap_s: float = 60.0
    growth: Growth = Growth.EXPONENTIAL
    jitter: Jitter = Jitter.FULL

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s < math.inf:
            raise InvalidInput(
                f"A backoff from {self.base_s} s to {self.cap_s} s cannot be used.",
                "The base must be above 0 and not above the cap, which must be finite.",
                "Give for instance base_s=1.0, cap_s=60.0.",
            )

    def ceiling_s(self, attempt: int) -> float:
        """The longest rest after `attempt` failed attempts; the first is 1."""
        if attempt < 1:
            raise InvalidInput(
                f"There is no attempt {attempt}.", "Attempts are counted from 1."
            )
        if self.growth is Growth.CONSTANT:
            return self.base_s
        if self.growth is Growth.LINEAR:
            return min(self.cap_s, self.base_s * min(attempt, 2**53))
        power = min(attempt - 1, _HIGHEST_POWER)
        return min(self.cap_s, self.base_s * 2.0**power)

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """The rest after `attempt` failed attempts, in seconds."""
        ceiling_s = self.ceiling_s(attempt)
        if self.jitter is Jitter.NONE:
            return ceiling_s
        return chance.uniform(0.0, ceiling_s)


def exponential(base_s: float = 1.0, cap_s: float = 60.0) -> Backoff:
    """The ceiling doubles: base, 2·base, 4·base, … up to the cap. Full jitter."""
    return Backoff(base_s, cap_s, Growth.EXPONENTIAL)


def linear(base_s: float = 1.0, cap_s: float = 60.0) -> Backoff:
    """The ceiling grows by `base_s` each time, up to the cap. Full jitter."""
    return Backoff(base_s, cap_s, Growth.LINEAR)


def constant(delay_s: float) -> Backoff:
    """Always exactly `delay_s`, without jitter."""
    return Backoff(delay_s, delay_s, Growth.CONSTANT, Jitter.NONE)
