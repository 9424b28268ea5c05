"""A spread counts what took how long, up to fixed bounds."""

from __future__ import annotations

import pytest

from quorate.core.spread import NOTHING, Spread


def test_each_is_counted_at_the_first_bound_that_it_does_not_pass():
    spread = Spread()
    for took_s in (0.0, 0.001, 0.0011, 0.3, 3600.0):
        spread.add(took_s)

    seen = spread.seen()

    assert seen.counts == (2, 1, 0, 0, 1, 0, 0, 0, 1)
    assert seen.total == pytest.approx(3600.3021)


def test_what_was_seen_does_not_grow_any_more():
    spread = Spread()
    before = spread.seen()

    spread.add(1.0)

    assert before == NOTHING
