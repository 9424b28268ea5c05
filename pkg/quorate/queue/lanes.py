"""How many tasks of which lane to take next.

Stride scheduling (Waldspurger and Weihl, 1995): a lane's pass advances by one over its
weight for each task taken, and the lane with the lowest pass is next. Deterministic, so
shares hold over short runs too. A lane that wakes from empty has hoarded no credit, and
a head that waits too long gets one turn in eight, whatever the weights. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .model import LANES, LaneWeights

AGED_EVERY = 8
SMALLEST_WITH_RESERVE = 4

Counts = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LaneRules:
    """What is fair in this process."""

    weights: LaneWeights = field(default_factory=LaneWeights)
    age_floor_s: float = 60.0
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """How far each lane has come: its pass, and the tasks taken since its own last."""

    passes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    since: Counts = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sight:
    """The lanes when last looked at. `ages_s` is of each head; None if not known."""

    depths: Counts
    ages_s: tuple[float | None, float | None, float | None] = (None, None, None)


class Slots(NamedTuple):
    """Free places: in all, and those of them that any lane may use."""

    total: int
    others: int


def reserved_slots(concurrency: int, share: float) -> int:
    """Places that only urgent tasks may use; none in a worker of fewer than four."""
    if concurrency < SMALLEST_WITH_RESERVE or share <= 0:
        return 0
    return max(1, int(concurrency * share))


def free_slots(concurrency: int, reserved: int, *, busy: int, urgent: int) -> Slots:
    """What is free when `busy` tasks run, `urgent` of them from the first lane."""
    total = max(0, concurrency - busy)
    others = concurrency - reserved - (busy - urgent)
    return Slots(total, max(0, min(total, others)))


def plan(shares: Shares, slots: Slots, sight: Sight | None, rules: LaneRules) -> Counts:
    """How many to take of each lane, most urgent first.

    The server fills what is left over from any lane. The first lane is tried with all
    places even if it was empty at the last look, because an urgent task may have come
    since; the others are counted on only if they had tasks then, or nobody has looked.
    """
    if rules.strict:
        return (slots.total, slots.others, slots.others)
    depths = sight.depths if sight is not None else (slots.total,) * LANES
    left = [depths[0], *(min(depth, slots.others) for depth in depths[1:])]
    if not left[0] and not (left[1] and left[2]):
        # There is nothing to weigh.
        return (slots.total, left[1], left[2])
    aged = _aged_lanes(sight, rules)
    passes, since, counts = list(shares.passes), list(shares.since), [0] * LANES
    others = slots.others
    steps = [1 / weight for weight in rules.weights.by_lane]
    for _ in range(slots.total):
        lane = _next_lane(passes, since, left, aged if others else ())
        if lane is None:
            break
        counts[lane] += 1
        left[lane] -= 1
        passes[lane] += steps[lane]
        since = [turns + 1 for turns in since]
        since[lane] = 0
        if lane:
            others -= 1
            if not others:
                left[1] = left[2] = 0
    return (counts[0] if depths[0] else slots.total, counts[1], counts[2])


def charge(
    shares: Shares, asked: Counts, taken: Counts, sight: Sight | None, rules: LaneRules
) -> Shares:
    """The shares after `taken` came of what was `asked`."""
    total = sum(taken)
    if not total:
        return shares
    passes = [
        place + count / weight
        for place, count, weight in zip(
            shares.passes, taken, rules.weights.by_lane, strict=True
        )
    ]
    lowest = min(place for place, count in zip(passes, taken, strict=True) if count)
    for lane in range(LANES):
        is_empty = taken[lane] < asked[lane] or (
            not taken[lane] and sight is not None and not sight.depths[lane]
        )
        if is_empty:
            passes[lane] = max(passes[lane], lowest)
    start = min(passes)
    since = [
        0 if count else turns + total
        for turns, count in zip(shares.since, taken, strict=True)
    ]
    return Shares(
        (passes[0] - start, passes[1] - start, passes[2] - start),
        (since[0], since[1], since[2]),
    )


def _aged_lanes(sight: Sight | None, rules: LaneRules) -> tuple[int, ...]:
    if sight is None:
        return ()
    return tuple(
        lane
        for lane, age_s in enumerate(sight.ages_s)
        if lane and age_s is not None and age_s > rules.age_floor_s
    )


def _next_lane(
    passes: list[float], since: list[int], left: list[int], aged: tuple[int, ...]
) -> int | None:
    for lane in reversed(aged):
        if left[lane] > 0 and since[lane] >= AGED_EVERY - 1:
            return lane
    open_lanes = [lane for lane in range(LANES) if left[lane] > 0]
    return min(open_lanes, key=passes.__getitem__, default=None)
