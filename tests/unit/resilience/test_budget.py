import pytest

from quorate.core.errors import InvalidInput
from quorate.resilience.budget import RetryBudget, RetryBudgetStats


def test_a_fifth_of_the_calls_may_be_repeated():
    budget = RetryBudget(share=0.2, floor_per_s=0.0)
    for _ in range(100):
        budget.called(now=50.0)

    taken = [budget.take(now=50.0) for _ in range(30)]

    assert taken == [True] * 20 + [False] * 10
    assert budget.stats() == RetryBudgetStats(calls=100, retries=20, refused=10)


def test_a_quiet_client_may_retry_as_well():
    budget = RetryBudget(share=0.2, floor_per_s=1.0, window_s=10.0)
    budget.called(now=0.0)

    assert sum(budget.take(now=0.0) for _ in range(100)) == 10


def test_the_budget_fills_again_when_the_window_has_passed():
    budget = RetryBudget(share=0.0, floor_per_s=0.1, window_s=10.0)

    assert budget.take(now=0.0)
    assert not budget.take(now=9.9)
    assert budget.take(now=10.0)


def test_when_everything_fails_the_load_grows_by_no_more_than_the_share():
    budget = RetryBudget()
    sent = 0

    for call in range(60_000):
        now = call / 1000
        budget.called(now)
        sent += 1
        sent += budget.take(now)
        sent += budget.take(now)

    assert sent <= 60_000 * 1.2 + 10 * (60 + 10)
    assert sent > 60_000 * 1.2


@pytest.mark.parametrize(
    "limits", [(-0.1, 1, 1), (0.1, -1, 1), (0.1, 1, 0), (float("nan"), 1, 1)]
)
def test_a_budget_that_makes_no_sense_is_refused(limits):
    with pytest.raises(InvalidInput, match="cannot be used"):
        RetryBudget(*limits)
