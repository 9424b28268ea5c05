"""What users noticed of a fault."""

from __future__ import annotations

import pytest
from tests.unit.testing.histories import op

from quorate.testing.availability import availability

S = 1_000_000_000


def test_gaps_recoveries_and_shares_are_counted() -> None:
    history = [
        op("get", 1 * S, 2 * S),
        op("get", 3 * S, 4 * S),
        op("get", 5 * S, None),
        op("get", 8 * S, 10 * S),
    ]

    seen = availability(
        history,
        failed=[op("get", 6 * S, 7 * S)],
        faults=[op("nemesis", 5 * S, 9 * S), op("nemesis", 20 * S, 21 * S)],
    )

    assert (seen.succeeded, seen.failed, seen.open) == (3, 1, 1)
    assert seen.share == pytest.approx(0.6)
    assert seen.longest_gap_s == 6
    assert seen.recoveries_s == (5.0,)


def test_where_nothing_was_asked_nothing_was_missing() -> None:
    assert availability([]).share == 1.0
