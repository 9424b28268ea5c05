import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput
from quorate.resilience.backoff import (
    Backoff,
    Growth,
    Jitter,
    constant,
    exponential,
    linear,
)


def test_the_exponential_ceiling_doubles_up_to_the_cap():
    backoff = exponential(base_s=0.5, cap_s=3.0)

    ceilings = [backoff.ceiling_s(attempt) for attempt in range(1, 6)]

    assert ceilings == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_linear_ceiling_grows_by_the_base_up_to_the_cap():
    backoff = linear(base_s=2.0, cap_s=5.0)

    assert [backoff.ceiling_s(attempt) for attempt in range(1, 5)] == [2, 4, 5, 5]


def test_a_constant_backoff_is_exactly_its_delay():
    backoff = constant(0.25)

    assert {backoff.delay_s(n, random.Random(n)) for n in range(1, 50)} == {0.25}


def test_without_jitter_the_delay_is_the_ceiling():
    backoff = Backoff(1.0, 60.0, Growth.EXPONENTIAL, Jitter.NONE)

    assert backoff.delay_s(3, random.Random(1)) == 4.0


def test_full_jitter_draws_evenly_from_nothing_to_the_ceiling():
    backoff = exponential(base_s=1.0, cap_s=8.0)
    chance = random.Random(7)

    delays = [backoff.delay_s(4, chance) for _ in range(20_000)]

    assert min(delays) < 0.01
    assert max(delays) > 7.99
    assert sum(delays) / len(delays) == pytest.approx(4.0, rel=0.02)
    assert sum(delay < 2.0 for delay in delays) == pytest.approx(5000, rel=0.05)


def test_the_same_chance_gives_the_same_delays():
    backoff = exponential()

    first = [backoff.delay_s(n, random.Random(3)) for n in range(1, 9)]

    assert first == [backoff.delay_s(n, random.Random(3)) for n in range(1, 9)]


@given(
    base_s=st.floats(1e-300, 1e6),
    factor=st.floats(1.0, 1e6),
    growth=st.sampled_from(Growth),
    attempt=st.integers(1, 10**30),
    seed=st.integers(),
)
def test_no_delay_is_negative_or_passes_the_cap(base_s, factor, growth, attempt, seed):
    backoff = Backoff(base_s, base_s * factor, growth)

    delay_s = backoff.delay_s(attempt, random.Random(seed))

    assert 0 <= delay_s <= backoff.ceiling_s(attempt) <= backoff.cap_s
    assert backoff.ceiling_s(attempt) <= backoff.ceiling_s(attempt + 1)


@pytest.mark.parametrize(
    ("base_s", "cap_s"),
    [(0, 1), (-1, 1), (2, 1), (1, float("inf")), (float("nan"), 1), (1, float("nan"))],
)
def test_a_backoff_that_makes_no_sense_is_refused(base_s, cap_s):
    with pytest.raises(InvalidInput, match="cannot be used"):
        Backoff(base_s, cap_s)


def test_there_is_no_attempt_zero():
    with pytest.raises(InvalidInput, match="no attempt 0"):
        exponential().delay_s(0, random.Random(1))
