"""What may be changed about queues while workers run. Pure.

`queue.*` of the configuration is for all queues, `queues.<name>.*` for one of them:

    concurrency   reserved_for_high   age_floor_s   strict   weights.{high,normal,low}
    paused        rate.{limit,per_s,burst}

What the configuration does not say stays as the process was started with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput

from .guards import Rate
from .model import LaneWeights, QueueConfig

ALL = "queue"
ONE = "queues"
MOST_CONCURRENCY = 10_000

Fits = Callable[[Json], bool]


def _whole(least: int, most: float = math.inf) -> Fits:
    return lambda value: type(value) is int and least <= value <= most


def _number(fits: Callable[[float], bool]) -> Fits:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and fits(value)
    )


def _truth(value: Json) -> bool:
    return isinstance(value, bool)


KNOBS: dict[str, tuple[Fits, str]] = {
    "concurrency": (_whole(1, MOST_CONCURRENCY), "a whole number from 1 to 10000"),
    "reserved_for_high": (_number(lambda share: 0 <= share <= 0.9), "from 0 to 0.9"),
    "age_floor_s": (_number(lambda s: 0 < s < math.inf), "seconds above 0"),
    "strict": (_truth, "true or false"),
    "paused": (_truth, "true or false"),
    "weights.high": (_whole(1), "a whole number from 1"),
    "weights.normal": (_whole(1), "a whole number from 1"),
    "weights.low": (_whole(1), "a whole number from 1"),
    "rate.limit": (_whole(1, 10**6), "a whole number from 1 to a million"),
    "rate.per_s": (_number(lambda s: 1 <= s < math.inf), "seconds from 1"),
    "rate.burst": (_whole(0, 10**6), "a whole number from 0 to a million"),
}
"""Each setting, what fits, and how to say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTuning:
    """What the configuration says of one queue; what is not there it does not say."""

    knobs: Mapping[str, Json]

    @property
    def paused(self) -> bool:
        """Is nothing to be claimed?"""
        return bool(self.knobs.get("paused", False))

    @property
    def rate(self) -> Rate | None:
        """How many of its tasks may begin, in all workers together."""
        if "rate.limit" not in self.knobs:
            return None
        knobs = self.knobs
        per_s, burst = knobs.get("rate.per_s", 1.0), knobs.get("rate.burst", 0)
        return Rate(knobs["rate.limit"], per_s=per_s, burst=burst)

    def applied(self, config: QueueConfig) -> QueueConfig:
        """`config` as it is now to be."""
        knobs, weights = self.knobs, config.weights
        return replace(
            config,
            concurrency=knobs.get("concurrency", config.concurrency),
            reserved_for_high=knobs.get("reserved_for_high", config.reserved_for_high),
            age_floor_s=knobs.get("age_floor_s", config.age_floor_s),
            strict=knobs.get("strict", config.strict),
            weights=LaneWeights(
                knobs.get("weights.high", weights.high),
                knobs.get("weights.normal", weights.normal),
                knobs.get("weights.low", weights.low),
            ),
        )


UNTUNED = QueueTuning(knobs={})

TuningOf = Callable[[str], QueueTuning]
"""What is said of the queue of this name."""


def tuning_of(queue: str, values: Mapping[str, Json]) -> QueueTuning:
    """What `values`, by their full keys, say of `queue`; its own are the stronger."""
    knobs: dict[str, Json] = {}
    for prefix in (ALL, f"{ONE}.{queue}"):
        for name in KNOBS:
            value = values.get(f"{prefix}.{name}")
            if value is not None:
                knobs[name] = value
    return QueueTuning(knobs=knobs)


def check_tuning(values: Mapping[str, Json]) -> None:
    """Raise `InvalidInput` for values that no worker could heed."""
    faults = []
    for key, value in values.items():
        room, _, rest = key.partition(".")
        if room not in (ALL, ONE) or isinstance(value, dict):
            continue
        for name, (fits, words) in KNOBS.items():
            is_meant = rest == name if room == ALL else rest.endswith(f".{name}")
            if is_meant and value is not None and not fits(value):
                faults.append(f"{key} = {value!r} must be {words}")
    if faults:
        raise InvalidInput(
            "Workers could not heed that.", "; ".join(faults), "Nothing was changed."
        )
