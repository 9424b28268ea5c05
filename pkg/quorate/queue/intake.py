"""How much to ask the server for.

Free places, minus what is asked for already, shared out among the lanes by what the
last answers told about them.
"""

from __future__ import annotations

from collections.abc import Callable

from .lanes import (
    Counts,
    LaneRules,
    Shares,
    Sight,
    Slots,
    charge,
    free_slots,
    plan,
    reserved_slots,
)
from .model import LANES, Lease, QueueConfig
from .ports import Answer, Request
from .running import Running

MOST_AT_ONCE = 256
NOBODY = Slots(0, 0)
OVERLAP_FROM = 64
FAR = 32
"""From twice so many places on, or when so many tasks end while an exchange is under
way, two exchanges share the places as long as there is plenty to do: the server works
on one while this process works on the tasks of the other."""


Terms = tuple[int, float, LaneRules]


class Intake:
    """What one queue's worker may take in next."""

    def __init__(self, config: QueueConfig, running: Running) -> None:
        self._terms: Terms | None = None
        self.tune(config)
        self._running = running
        self._asked: dict[int, Slots] = {}
        self._shares = Shares()
        self._sight: Sight | None = None
        self._is_plenty = False
        self._ahead = 0
        self._allowed: int | None = None
        self._waiting: Callable[[], Slots] = lambda: NOBODY

    def minds(self, waiting: Callable[[], Slots]) -> None:
        """Who has been claimed ahead and waits for a place."""
        self._waiting = waiting

    def look_ahead(self, places: int) -> None:
        """So many places will be free besides when an answer is here."""
        self._ahead = places if self._is_plenty else 0

    @property
    def batch(self) -> int:
        """How many tasks one exchange may settle or claim."""
        half = (self._concurrency + self._ahead) // 2
        is_worth_it = half >= OVERLAP_FROM or self._ahead >= FAR
        if not (is_worth_it and self._is_plenty):
            return MOST_AT_ONCE
        return min(half, MOST_AT_ONCE)

    def tune(self, config: QueueConfig) -> bool:
        """So many places, and who may have them; False if nothing is new in that."""
        rules = LaneRules(config.weights, config.age_floor_s, config.strict)
        terms = (config.concurrency, config.reserved_for_high, rules)
        is_new, self._terms = terms != self._terms, terms
        self._concurrency, self._rules = config.concurrency, rules
        self._reserved = reserved_slots(config.concurrency, config.reserved_for_high)
        return is_new

    @property
    def has_room_for_second(self) -> bool:
        """Would another whole batch fit, and is there likely to be one?"""
        return self._is_plenty and self.free().total >= max(self.batch, FAR)

    @property
    def is_quiet(self) -> bool:
        """Has everything that was asked for been answered?"""
        return not any(slots.total for slots in self._asked.values())

    def places(self) -> Slots:
        """Places where a task could begin now."""
        return free_slots(
            self._concurrency,
            self._reserved,
            busy=len(self._running),
            urgent=self._running.urgent,
        )

    def free(self) -> Slots:
        """Places for which nothing has been asked yet, at most a batch."""
        slots, waiting, asked = self.places(), self._waiting(), self._asked.values()
        ahead = self._ahead
        total = slots.total + ahead - sum(each.total for each in asked)
        others = slots.others + ahead - sum(each.others for each in asked)
        total -= waiting.total
        others -= waiting.others
        total = max(0, min(total, self.batch, self._allowed or self.batch))
        return Slots(total, max(0, min(total, others)))

    def ask(self, exchanger: int, slots: Slots) -> Counts:
        """Ask for `slots`. Returns how many of which lane."""
        self._asked[exchanger] = slots
        return plan(self._shares, slots, self._sight, self._rules)

    def answered(self, request: Request, answer: Answer) -> None:
        """Learn from an answer."""
        self._asked.pop(request.exchanger, None)
        taken = count_by_lane(answer.leases)
        # Places that are kept for urgent tasks stay free with any number of others.
        others = sum(taken[1:])
        is_full = not answer.is_short or 0 < request.slots.others <= others
        self._is_plenty = answer.alive and is_full and not answer.is_limited
        self._heed_rate(request, answer)
        if answer.sight is not None:
            self._sight = answer.sight
        elif answer.is_short and request.slots.others:
            self._sight = Sight((0, 0, 0))
        elif self._sight is not None and answer.leases:
            self._sight = _after(self._sight, taken)
        # A lane that a rate kept from giving what it was asked for is not empty.
        asked = taken if answer.is_limited else request.takes
        self._shares = charge(self._shares, asked, taken, self._sight, self._rules)

    def _heed_rate(self, request: Request, answer: Answer) -> None:
        """Ask for about what the queue's rate allows, so that it is shared fairly."""
        if answer.is_limited:
            self._allowed = max(1, len(answer.leases))
        elif self._allowed is not None and request.slots.total:
            doubled = 2 * self._allowed
            self._allowed = doubled if doubled < self.batch else None


def count_by_lane(leases: tuple[Lease, ...]) -> Counts:
    """How many of which lane these are."""
    counts = [0] * LANES
    for lease in leases:
        counts[lease.lane] += 1
    return (counts[0], counts[1], counts[2])


def _after(sight: Sight, taken: Counts) -> Sight:
    high, normal, low = (
        max(0, depth - count) for depth, count in zip(sight.depths, taken, strict=True)
    )
    return Sight((high, normal, low), sight.ages_s)
