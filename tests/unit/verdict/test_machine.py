import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput
from quorate.verdict.machine import Thresholds, age, first_verdict, judge
from quorate.verdict.model import HealthState, Outcome

S, W, F = Outcome.SUCCESS, Outcome.WARNING, Outcome.FAILURE
DOWN, DUNNO = Outcome.DOWN, Outcome.INCONCLUSIVE

STARTING, HEALTHY = HealthState.STARTING, HealthState.HEALTHY
DEGRADED, UNHEALTHY = HealthState.DEGRADED, HealthState.UNHEALTHY
UNKNOWN = HealthState.UNKNOWN

USUAL = Thresholds(rise=2, fall=3, warn_after=2, interval_s=1.0)


def after(*outcomes, thresholds=USUAL, verdict=None, start=0.0):
    """The verdict after one result a second."""
    verdict = verdict or first_verdict(start, thresholds)
    for number, outcome in enumerate(outcomes, 1):
        verdict = judge(verdict, outcome, start + number, thresholds)
    return verdict


def test_it_begins_as_starting():
    assert first_verdict(0.0, USUAL).state is STARTING


def test_the_first_success_makes_it_healthy():
    verdict = after(S)

    assert verdict.state is HEALTHY
    assert verdict.since == 1.0
    assert verdict.reason == "the first success"


def test_a_first_answer_with_a_warning_makes_it_degraded():
    assert after(W).state is DEGRADED


def test_without_a_grace_the_first_failure_makes_it_unhealthy():
    assert after(F).state is UNHEALTHY


def test_failures_within_the_startup_grace_are_forgiven():
    patient = Thresholds(startup_grace_s=3.0, interval_s=1.0)

    assert after(F, F, thresholds=patient).state is STARTING
    assert after(F, F, F, thresholds=patient).state is UNHEALTHY
    assert after(F, F, S, thresholds=patient).state is HEALTHY


def test_the_grace_is_counted_from_the_start():
    patient = Thresholds(startup_grace_s=3.0, interval_s=1.0)

    verdict = after(F, F, thresholds=patient, start=100.0)

    assert verdict.state is STARTING


def test_a_longer_interval_may_be_silent_for_longer():
    slow = Thresholds(interval_s=10.0)
    verdict = after(S, thresholds=slow)

    assert age(verdict, 31.0, slow) is verdict
    assert age(verdict, 31.1, slow).reason == "no result for more than 30 s"


def test_fewer_failures_than_fall_change_nothing():
    assert after(S, F, F).state is HEALTHY
    assert after(S, F, F, S, F, F).state is HEALTHY


def test_fall_failures_in_a_row_make_it_unhealthy():
    verdict = after(S, F, F, F)

    assert verdict.state is UNHEALTHY
    assert verdict.since == 4.0
    assert verdict.reason == "3 failures in a row"


def test_rise_successes_in_a_row_make_it_healthy_again():
    assert after(S, F, F, F, S).state is UNHEALTHY
    assert after(S, F, F, F, S, F, S).state is UNHEALTHY
    assert after(S, F, F, F, S, S).state is HEALTHY


def test_warnings_make_it_degraded_and_successes_healthy_again():
    assert after(S, W).state is HEALTHY
    assert after(S, W, S, W).state is HEALTHY
    assert after(S, W, W).state is DEGRADED
    assert after(S, W, W, S).state is DEGRADED
    assert after(S, W, W, S, S).state is HEALTHY


def test_a_failure_does_not_wipe_out_warnings():
    assert after(S, W, F, W).state is DEGRADED


def test_a_warning_is_an_answer_and_breaks_a_row_of_failures():
    assert after(S, F, F, W, F, F).settled is not UNHEALTHY


def test_degraded_falls_like_healthy():
    assert after(S, W, W, F, F, F).state is UNHEALTHY


def test_unhealthy_that_answers_with_warnings_becomes_degraded():
    assert after(S, F, F, F, S, W).state is DEGRADED
    assert after(S, F, F, F, W, W).state is DEGRADED


def test_down_needs_no_second_opinion():
    verdict = after(S, S, DOWN)

    assert verdict.state is UNHEALTHY
    assert verdict.reason == "it is down for certain"
    assert after(DOWN).state is UNHEALTHY
    assert after(S, DOWN, S).state is UNHEALTHY


def test_an_inconclusive_result_changes_nothing():
    before = after(S, F, F)

    assert judge(before, DUNNO, 99.0, USUAL) is before


def test_three_intervals_without_a_result_make_it_unknown():
    verdict = after(S)

    assert age(verdict, 4.0, USUAL) is verdict
    later = age(verdict, 4.1, USUAL)

    assert later.state is UNKNOWN
    assert later.since == 4.1
    assert later.reason == "no result for more than 3 s"
    assert age(later, 99.0, USUAL) is later


def test_something_that_never_had_a_result_becomes_unknown_too():
    assert age(first_verdict(0.0, USUAL), 3.5, USUAL).state is UNKNOWN


def test_inconclusive_results_do_not_keep_it_known():
    verdict = judge(after(S), DUNNO, 3.9, USUAL)

    assert age(verdict, 4.1, USUAL).state is UNKNOWN


def test_what_is_looked_at_less_often_may_be_silent_for_longer():
    verdict = after(*[F] * 20)

    assert verdict.rests == 4.0
    assert age(verdict, 20.0 + 12.0, USUAL) is verdict
    assert age(verdict, 20.0 + 12.1, USUAL).state is UNKNOWN


def test_a_result_that_agrees_ends_not_knowing():
    healthy = age(after(S), 9.0, USUAL)
    down = age(after(S, F, F, F), 9.0, USUAL)

    assert after(S, verdict=healthy, start=9.0).state is HEALTHY
    assert after(F, verdict=down, start=9.0).state is UNHEALTHY


def test_a_result_that_disagrees_must_decide_before_it_is_known_again():
    healthy = age(after(S), 9.0, USUAL)
    down = age(after(S, F, F, F), 9.0, USUAL)

    assert after(F, F, verdict=healthy, start=9.0).state is UNKNOWN
    assert after(F, F, F, verdict=healthy, start=9.0).state is UNHEALTHY
    assert after(S, verdict=down, start=9.0).state is UNKNOWN
    assert after(S, S, verdict=down, start=9.0).state is HEALTHY


def test_what_is_still_starting_stays_unknown_through_forgiven_failures():
    patient = Thresholds(startup_grace_s=60.0, interval_s=1.0)
    unknown = age(first_verdict(0.0, patient), 9.0, patient)

    assert after(F, thresholds=patient, verdict=unknown, start=9.0).state is UNKNOWN
    assert after(S, thresholds=patient, verdict=unknown, start=9.0).state is HEALTHY


def test_results_before_not_knowing_do_not_count_towards_a_row():
    unknown = age(after(S, F, F), 9.0, USUAL)

    assert after(F, verdict=unknown, start=9.0).state is UNKNOWN


def test_a_thousand_alternating_results_decide_nothing_and_are_called_flapping():
    verdict = after(S)
    settled = seen = 0
    for number in range(1000):
        before = verdict
        verdict = judge(verdict, F if number % 2 else S, 2.0 + number, USUAL)
        settled += verdict.settled is not before.settled
        seen += verdict.state is not before.state

    assert settled == 0
    assert seen == 1
    assert verdict.flapping
    assert verdict.state is DEGRADED
    assert verdict.reason == "it keeps changing between success and failure"


def test_one_failure_in_five_is_reported_as_flapping_instead_of_many_changes():
    chance = random.Random(11)
    outcomes = [F if chance.random() < 0.2 else S for _ in range(10_000)]
    raw = sum(a != b for a, b in pairwise(outcomes))
    verdict = after(S)
    seen = flapped = 0

    for number, outcome in enumerate(outcomes):
        before = verdict
        verdict = judge(verdict, outcome, 2.0 + number, USUAL)
        seen += verdict.state is not before.state
        flapped += verdict.flapping

    assert seen <= raw * 0.1
    assert flapped > 9000


def test_flapping_does_not_hide_that_it_is_down():
    verdict = after(S, *[F, S] * 10, F, F, F)

    assert verdict.flapping
    assert verdict.state is UNHEALTHY


def test_successes_before_not_knowing_do_not_count_towards_rising():
    unknown = age(after(S, W, W, S), 9.0, USUAL)

    assert after(S, verdict=unknown, start=9.0).state is DEGRADED
    assert after(S, S, verdict=unknown, start=9.0).state is HEALTHY


def test_warnings_before_not_knowing_do_not_count_towards_degraded():
    unknown = age(after(S, W), 9.0, USUAL)

    assert after(W, verdict=unknown, start=9.0).state is HEALTHY


def test_each_fall_while_flapping_doubles_what_it_takes_to_rise_up_to_eight():
    flapping = after(S, *[F, S] * 10)
    needed = []
    for _ in range(4):
        flapping = after(F, F, F, verdict=flapping, start=flapping.heard_at)
        needed.append(flapping.rise)
        flapping = after(
            *[S] * flapping.rise, verdict=flapping, start=flapping.heard_at
        )
        assert flapping.settled is HEALTHY

    assert needed[:3] == [4, 8, 8]


def test_what_is_steady_again_is_healthy_again_and_rises_as_usual():
    verdict = after(S, *[F, S] * 10, F, F, F, *[S] * 40)

    assert verdict.state is HEALTHY
    assert verdict.reason == "it is steady again"
    assert not verdict.flapping
    assert verdict.rise == USUAL.rise


def test_undecided_is_what_has_a_row_against_it_under_way():
    assert not first_verdict(0.0, USUAL).is_decided
    assert after(S).is_decided
    assert not after(S, F).is_decided
    assert after(S, F, F, F).is_decided
    assert not after(S, F, F, F, S).is_decided
    assert not age(after(S), 9.0, USUAL).is_decided


OUTCOMES = st.lists(st.sampled_from(Outcome), max_size=60)
THRESHOLDS = st.builds(
    Thresholds,
    rise=st.integers(1, 5),
    fall=st.integers(1, 5),
    warn_after=st.integers(1, 5),
    interval_s=st.just(1.0),
    startup_grace_s=st.sampled_from([0.0, 5.0, 100.0]),
)


@settings(max_examples=300, deadline=None)
@given(OUTCOMES, THRESHOLDS)
def test_it_never_falls_without_enough_failures_nor_rises_without_enough_answers(
    outcomes, thresholds
):
    verdict = first_verdict(0.0, thresholds)
    heard = []
    for number, outcome in enumerate(outcomes, 1):
        before, verdict = verdict, judge(verdict, outcome, float(number), thresholds)
        if outcome is not DUNNO:
            heard.append(outcome)
        if verdict.settled is before.settled or before.settled is STARTING:
            continue
        if verdict.settled is UNHEALTHY and outcome is not DOWN:
            row = heard[-thresholds.fall :]
            assert len(row) == thresholds.fall
            assert not any(one.answered for one in row)
        if before.settled is UNHEALTHY:
            row = heard[-thresholds.rise :]
            assert len(row) == thresholds.rise
            assert all(one.answered for one in row)


@settings(max_examples=300, deadline=None)
@given(OUTCOMES, THRESHOLDS)
def test_what_it_tells_is_dated_and_consistent(outcomes, thresholds):
    verdict = first_verdict(0.0, thresholds)
    for number, outcome in enumerate(outcomes, 1):
        before, verdict = verdict, judge(verdict, outcome, float(number), thresholds)

        changed = verdict.state is not before.state
        assert verdict.since == (float(number) if changed else before.since)
        assert verdict.state is not STARTING or before.state is STARTING
        assert not (verdict.flapping and verdict.state is HEALTHY)
        assert len(verdict.answers) <= 21
        assert verdict.reason


@settings(max_examples=300, deadline=None)
@given(OUTCOMES, THRESHOLDS)
def test_leaving_out_what_is_inconclusive_makes_no_difference(outcomes, thresholds):
    def run(kept):
        verdict = first_verdict(0.0, thresholds)
        for number, outcome in enumerate(outcomes, 1):
            if outcome is not DUNNO or kept:
                verdict = judge(verdict, outcome, float(number), thresholds)
        return verdict

    assert run(kept=True) == run(kept=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rise": 0},
        {"fall": 0},
        {"warn_after": 0},
        {"interval_s": 0.0},
        {"interval_s": float("inf")},
        {"startup_grace_s": -1.0},
        {"startup_grace_s": float("nan")},
    ],
)
def test_thresholds_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInput, match="cannot be used"):
        Thresholds(**wrong)
