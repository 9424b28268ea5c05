"""Shares of lanes: weighted, deterministic, and nobody waits for ever."""

from __future__ import annotations

import random

import pytest

from quorate.core.ids import new_task_id
from quorate.queue.ages import age_of, seen
from quorate.queue.lanes import (
    LaneRules,
    Shares,
    Sight,
    Slots,
    charge,
    free_slots,
    plan,
    reserved_slots,
)
from quorate.queue.model import LaneWeights

RULES = LaneRules()
DEEP = (10**6, 10**6, 10**6)


class Server:
    """Lanes of known depth; takes as the script does, filling up from any lane."""

    def __init__(self, depths, ages=(None, None, None)) -> None:
        self.depths = list(depths)
        self.ages = ages

    def take(self, asked, slots):
        taken, total, others = [0, 0, 0], slots.total, slots.others
        for wanted in (asked, (total, total, total)):
            for lane in range(3):
                most = total if lane == 0 else min(total, others)
                got = max(0, min(wanted[lane], most, self.depths[lane]))
                self.depths[lane] -= got
                taken[lane] += got
                total -= got
                others -= got if lane else 0
        return tuple(taken)

    @property
    def sight(self):
        return Sight(tuple(self.depths), self.ages)


def serve(server, claims, batch=16, rules=RULES, others=None):
    """Claim so many tasks in batches; how many came of each lane."""
    shares, total = Shares(), [0, 0, 0]
    while sum(total) < claims and sum(server.depths):
        size = batch() if callable(batch) else batch
        slots = Slots(size, size if others is None else others)
        asked = plan(shares, slots, server.sight, rules)
        taken = server.take(asked, slots)
        shares = charge(shares, asked, taken, server.sight, rules)
        total = [a + b for a, b in zip(total, taken, strict=True)]
    return total


@pytest.mark.parametrize("batch", [1, 2, 7, 16, 64, 256])
@pytest.mark.parametrize("weights", [(16, 4, 1), (1, 1, 1), (3, 2, 1)])
def test_saturated_lanes_get_their_shares_within_a_tenth(weights, batch):
    rules = LaneRules(LaneWeights(*weights))

    taken = serve(Server(DEEP), 10_000, batch, rules)

    for count, weight in zip(taken, weights, strict=True):
        assert count == pytest.approx(sum(taken) * weight / sum(weights), rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_shares_hold_with_batches_of_any_size(seed):
    chance = random.Random(seed)

    taken = serve(Server(DEEP), 10_000, lambda: chance.randint(1, 100))

    for count, weight in zip(taken, (16, 4, 1), strict=True):
        assert count == pytest.approx(sum(taken) * weight / 21, rel=0.1)


def test_without_urgent_tasks_the_others_keep_their_shares():
    taken = serve(Server((0, 10**6, 10**6)), 10_000)

    assert taken[0] == 0
    assert taken[1] == pytest.approx(8_000, rel=0.1)
    assert taken[2] == pytest.approx(2_000, rel=0.1)


@pytest.mark.parametrize("lane", range(3))
def test_a_lane_alone_gets_everything(lane):
    depths = [0, 0, 0]
    depths[lane] = 500

    taken = serve(Server(depths), 500)

    assert taken[lane] == 500


def test_nothing_is_left_while_there_are_tasks():
    chance = random.Random(3)
    for _ in range(200):
        depths = [chance.choice((0, 1, 5, 40)) for _ in range(3)]
        server = Server(depths)
        slots = Slots(chance.randint(1, 30), chance.randint(0, 30))
        slots = Slots(slots.total, min(slots.others, slots.total))

        taken = server.take(plan(Shares(), slots, Sight(tuple(depths)), RULES), slots)

        fit = min(depths[0], slots.total)
        rest = min(depths[1] + depths[2], slots.others, slots.total - fit)
        assert sum(taken) >= min(slots.total, fit + rest)


def test_a_lane_that_wakes_from_empty_has_hoarded_no_credit():
    server = Server((10**6, 0, 10**6))
    shares = Shares()
    for _ in range(100):
        asked = plan(shares, Slots(16, 16), server.sight, RULES)
        taken = server.take(asked, Slots(16, 16))
        shares = charge(shares, asked, taken, server.sight, RULES)
    server.depths[1] = 10**6

    asked = plan(shares, Slots(21, 21), server.sight, RULES)

    assert asked[1] <= 5


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_a_head_that_waits_too_long_gets_one_turn_in_eight(batch):
    server = Server(DEEP, ages=(None, None, 61.0))

    taken = serve(server, 8_000, batch)

    assert taken[2] >= 8_000 / 8 * 0.95


def test_a_head_that_does_not_wait_long_gets_its_weight_only():
    taken = serve(Server(DEEP, ages=(None, 1.0, 59.0)), 8_000)

    assert taken[2] < 8_000 / 16


def test_strict_serves_a_lane_only_when_those_above_are_empty():
    server = Server((5, 100, 100))

    taken = serve(server, 50, 10, LaneRules(strict=True))

    assert taken == [5, 45, 0]


def test_reserved_places_are_never_filled_by_others():
    server = Server((0, 100, 100))
    slots = Slots(10, 4)

    asked = plan(Shares(), slots, server.sight, RULES)

    assert asked[1] + asked[2] <= 4
    assert sum(server.take(asked, slots)) == 4


def test_unknown_lanes_are_all_tried():
    asked = plan(Shares(), Slots(21, 21), None, RULES)

    assert asked == (16, 4, 1)


def test_nothing_is_asked_without_a_free_place():
    assert plan(Shares(), Slots(0, 0), None, RULES) == (0, 0, 0)


def test_an_exchange_that_brought_nothing_changes_no_share():
    shares = Shares((1.0, 0.0, 2.0), (1, 2, 3))

    assert charge(shares, (1, 1, 1), (0, 0, 0), None, RULES) is shares


@pytest.mark.parametrize(
    ("concurrency", "share", "reserved"),
    [(3, 0.1, 0), (4, 0.1, 1), (32, 0.1, 3), (100, 0.1, 10), (100, 0.0, 0)],
)
def test_a_tenth_is_reserved_and_at_least_one_of_four(concurrency, share, reserved):
    assert reserved_slots(concurrency, share) == reserved


@pytest.mark.parametrize(
    ("busy", "urgent", "slots"),
    [
        (0, 0, Slots(10, 8)),
        (5, 0, Slots(5, 3)),
        (8, 0, Slots(2, 0)),
        (5, 5, Slots(5, 5)),
        (10, 2, Slots(0, 0)),
        (12, 0, Slots(0, 0)),
    ],
)
def test_free_places_are_told_apart_from_reserved_ones(busy, urgent, slots):
    assert free_slots(10, 2, busy=busy, urgent=urgent) == slots


def test_the_age_is_told_by_the_id():
    born = 1_700_000_000.0

    assert age_of(new_task_id(born), born + 5) == pytest.approx(5, abs=0.01)
    assert age_of(new_task_id(born), born - 5) == 0
    assert age_of("mine", born) is None
    assert age_of("z" * 12 + "7" + "z" * 19, born) is None
    assert seen((1, 0, 0), (new_task_id(born), "", ""), born).ages_s[1] is None
