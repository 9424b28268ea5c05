import random

import pytest

from quorate.core.errors import InvalidInput
from quorate.verdict.machine import Thresholds, Verdict, first_verdict, judge
from quorate.verdict.model import Outcome
from quorate.verdict.pace import Pace

THRESHOLDS = Thresholds(interval_s=1.0)
PACE = Pace(interval_s=1.0, retry_s=0.25)


def after(*outcomes: Outcome) -> Verdict:
    verdict = first_verdict(0.0, THRESHOLDS)
    for number, outcome in enumerate(outcomes, 1):
        verdict = judge(verdict, outcome, float(number), THRESHOLDS)
    return verdict


def delays(verdict):
    chance = random.Random(1)
    return [PACE.next_delay_s(verdict, chance) for _ in range(2000)]


def test_the_first_look_is_anywhere_in_the_first_interval():
    chance = random.Random(1)

    firsts = [PACE.first_delay_s(chance) for _ in range(10_000)]

    busiest = max(sum(low <= f < low + 0.1 for f in firsts) for low in (0, 0.3, 0.9))
    assert min(firsts) >= 0
    assert max(firsts) <= 1.0
    assert busiest <= 2 * len(firsts) / 10


def test_what_is_healthy_is_looked_at_every_interval_with_a_little_jitter():
    found = delays(after(Outcome.SUCCESS))

    assert 0.9 <= min(found) < 0.91
    assert 1.09 < max(found) <= 1.1


@pytest.mark.parametrize(
    "outcomes",
    [
        (),
        (Outcome.SUCCESS, Outcome.FAILURE),
        (Outcome.FAILURE, Outcome.SUCCESS),
    ],
)
def test_what_is_undecided_is_looked_at_sooner(outcomes):
    found = delays(after(*outcomes))

    assert 0.225 <= min(found) <= max(found) <= 0.275


def test_what_has_long_been_down_is_looked_at_less_often_up_to_four_times():
    recently = delays(after(*[Outcome.FAILURE] * 10))
    longer = delays(after(*[Outcome.FAILURE] * 11))
    long = delays(after(*[Outcome.FAILURE] * 500))

    assert 0.9 <= min(recently) <= max(recently) <= 1.1
    assert 1.8 <= min(longer) <= max(longer) <= 2.2
    assert 3.6 <= min(long) <= max(long) <= 4.4


@pytest.mark.parametrize(
    ("interval_s", "retry_s"),
    [(0, 0), (1, 2), (1, 0), (float("inf"), 1), (float("nan"), 1)],
)
def test_a_pace_that_makes_no_sense_is_refused(interval_s, retry_s):
    with pytest.raises(InvalidInput, match="cannot be done"):
        Pace(interval_s, retry_s)
