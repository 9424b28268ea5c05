import asyncio
import random

import pytest

from quorate.core.clock import SystemClock
from quorate.core.errors import InvalidInput
from quorate.resilience.backoff import constant, exponential
from quorate.resilience.budget import RetryBudget
from quorate.resilience.retry import RetryPolicy, retry


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, failures, error=ConnectionError):
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(f"failure {self.calls}")
        return "done"


async def test_success_at_once_needs_no_rest(clock):
    assert await retry(Flaky(0), clock=clock) == "done"
    assert clock.slept == []


async def test_it_rests_as_the_backoff_says_and_tries_again(clock):
    work = Flaky(2)
    policy = RetryPolicy(attempts=3, backoff=exponential(1.0, 10.0))

    result = await retry(work, policy, clock=clock, chance=random.Random(5))

    expected = random.Random(5)
    assert result == "done"
    assert clock.slept == [expected.uniform(0, 1.0), expected.uniform(0, 2.0)]


async def test_the_last_error_is_raised_with_a_note(clock):
    work = Flaky(9)

    with pytest.raises(ConnectionError, match="failure 3") as caught:
        await retry(work, RetryPolicy(attempts=3), clock=clock)

    assert work.calls == 3
    assert caught.value.__notes__ == ["Not tried again: this was attempt 3 of 3."]


async def test_an_error_that_is_not_named_passes_through_at_once(clock):
    work = Flaky(9, error=KeyError)
    policy = RetryPolicy(on=(ConnectionError, TimeoutError))

    with pytest.raises(KeyError):
        await retry(work, policy, clock=clock)

    assert work.calls == 1


async def test_it_does_not_rest_past_the_deadline(clock):
    work = Flaky(9)
    policy = RetryPolicy(attempts=9, backoff=constant(4.0), deadline_s=10.0)

    with pytest.raises(ConnectionError) as caught:
        await retry(work, policy, clock=clock)

    assert work.calls == 3
    assert clock.slept == [4.0, 4.0]
    assert "deadline of 10.0 s" in caught.value.__notes__[0]


async def test_an_attempt_that_hangs_is_cut_off_at_the_deadline():
    policy = RetryPolicy(attempts=5, deadline_s=0.02)

    async with asyncio.timeout(2.0):
        with pytest.raises(TimeoutError):
            await retry(asyncio.Event().wait, policy, clock=SystemClock())


async def test_one_attempt_has_its_own_limit_and_is_tried_again(clock):
    calls = []

    async def work():
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    policy = RetryPolicy(attempts=2, attempt_timeout_s=0.01)

    assert await retry(work, policy, clock=clock) == "done"
    assert len(calls) == 2


async def test_a_spent_budget_ends_the_attempts(clock):
    budget = RetryBudget(share=0.0, floor_per_s=0.1, window_s=10.0)
    work = Flaky(9)
    policy = RetryPolicy(attempts=9, backoff=constant(0.001))

    with pytest.raises(ConnectionError) as caught:
        await retry(work, policy, budget=budget, clock=clock)

    assert work.calls == 2
    assert caught.value.__notes__ == ["Not tried again: the retry budget is spent."]
    assert budget.stats().refused == 1


async def test_an_attempt_that_would_not_be_made_takes_nothing_from_the_budget(clock):
    budget = RetryBudget()

    with pytest.raises(ConnectionError):
        await retry(Flaky(9), RetryPolicy(attempts=2), budget=budget, clock=clock)

    assert budget.stats().calls == 1
    assert budget.stats().retries == 1


async def test_cancellation_is_never_repeated(clock):
    work = Flaky(9, error=asyncio.CancelledError)

    with pytest.raises(asyncio.CancelledError):
        await retry(work, clock=clock)

    assert work.calls == 1


async def test_cancelling_the_caller_stops_the_attempts_in_one_turn():
    started = asyncio.Event()
    ended = []

    async def work():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    task = asyncio.ensure_future(retry(work, RetryPolicy(attempts=9)))
    await started.wait()

    task.cancel()
    await asyncio.wait([task], timeout=1.0)

    assert task.cancelled()
    assert ended == [1]


async def test_cancelling_the_caller_stops_the_rest():
    resting = asyncio.Event()

    class Restless(SystemClock):
        async def sleep(self, delay_s):
            resting.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(retry(Flaky(9), clock=Restless()))
    await resting.wait()

    task.cancel()
    await asyncio.wait([task], timeout=1.0)

    assert task.cancelled()


@pytest.mark.parametrize(
    "limits",
    [
        {"attempts": 0},
        {"deadline_s": 0.0},
        {"deadline_s": float("inf")},
        {"attempt_timeout_s": -1.0},
    ],
)
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(InvalidInput, match="cannot be done"):
        RetryPolicy(**limits)
