import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.verdict.flapping import WINDOW, is_flapping, remember, score


def test_what_never_changes_scores_nothing():
    assert score((True,) * WINDOW) == 0.0
    assert score(()) == score((True,)) == 0.0


def test_what_always_changes_scores_one():
    answers = tuple(bool(n % 2) for n in range(WINDOW))

    assert score(answers) == pytest.approx(1.0)


def test_a_recent_change_weighs_more_than_an_old_one():
    recent = (True,) * (WINDOW - 1) + (False,)
    old = (True,) + (False,) * (WINDOW - 1)

    assert score(recent) == pytest.approx(1.25 / 20)
    assert score(old) == pytest.approx(0.75 / 20)


def test_results_that_there_are_not_yet_count_as_unchanged():
    assert score((True, False)) == pytest.approx(1.25 / 20)


def test_it_flaps_from_a_fifth_on_until_less_than_a_twentieth():
    four_changes = (True,) * 16 + (False, True, False, True, True)
    one_change = (True,) * (WINDOW - 1) + (False,)
    no_recent_change = (False, *(True,) * (WINDOW - 1))

    assert is_flapping(four_changes, before=False)
    assert not is_flapping(one_change, before=False)
    assert is_flapping(one_change, before=True)
    assert not is_flapping(no_recent_change, before=True)


@given(st.lists(st.booleans(), max_size=80))
def test_only_the_last_window_counts(results):
    answers = ()
    for result in results:
        answers = remember(answers, result)

    assert answers == tuple(results[-WINDOW:])
    assert 0.0 <= score(answers) <= 1.0 + 1e-9
