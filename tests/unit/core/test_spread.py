"""A spread counts what took how long, and says it as a histogram wants it."""

from __future__ import annotations

from quorate.core.spread import BOUNDS_S, Spread, Spreading


def test_each_is_counted_up_to_the_first_bound_that_it_does_not_pass():
    spreading = Spreading()
    for took_s in (0.0, 0.001, 0.0011, 0.3, 3600.0):
        spreading.add(took_s)

    spread = spreading.seen()

    assert spread.count == 5
    assert spread.sum_s == 3600.3021
    assert dict(spread.up_to()) == {
        0.001: 2, 0.005: 3, 0.025: 3, 0.1: 3, 0.5: 4, 2.5: 4, 10.0: 4, 60.0: 4,
        float("inf"): 5,
    }  # fmt: skip


def test_what_was_seen_does_not_grow_any_more():
    spreading = Spreading()
    before = spreading.seen()

    spreading.add(1.0)

    assert before == Spread()
    assert [bound for bound, _ in before.up_to()] == [*BOUNDS_S, float("inf")]
