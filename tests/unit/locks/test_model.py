"""Settings of locks, and the small decisions about them."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput
from quorate.locks.answers import Sighting
from quorate.locks.cohort import Passing
from quorate.locks.model import Explanation, HolderFacts, LockConfig, LockType

HOLDER = HolderFacts("a", LockType.EXCLUSIVE, 7, "host-1-ab.1", "task-1", "report", 2.0)


def test_the_owners_settings_are_the_defaults():
    config = LockConfig()

    assert config.default_timeout == 30
    assert config.auto_extend is True
    assert config.timeout_of(None) is None
    assert config.timeout_of(5.0) == 5.0


def test_without_extension_the_default_timeout_ends_every_hold():
    config = LockConfig(default_timeout=10, auto_extend=False)

    assert config.timeout_of(None) == 10
    assert config.timeout_of(2.0) == 2.0


@pytest.mark.parametrize(
    "settings",
    [
        {"default_timeout": 0},
        {"default_timeout": float("nan")},
        {"default_timeout": "30"},
        {"wait_s": -1.0},
        {"long_wait_s": -1.0},
        {"long_wait_s": None},
        {"passing_s": float("inf")},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    (name,) = settings
    with pytest.raises(InvalidInput, match=name):
        LockConfig(**settings)


def test_a_server_moment_is_placed_no_later_than_it_was():
    seen = Sighting(local=100.0, server_s=5000.0)

    assert seen.not_later_than(5000.0) == 100.0
    assert seen.not_later_than(5010.0) == pytest.approx(109.9)
    assert seen.not_later_than(4990.0) == 100.0


def test_a_hold_is_passed_on_within_its_block_and_its_time():
    passing = Passing(longest_s=0.05)

    assert passing.is_allowed(token=1, last_token=32, began_at=10.0, now=10.04)
    assert not passing.is_allowed(token=32, last_token=32, began_at=10.0, now=10.0)
    assert not passing.is_allowed(token=1, last_token=32, began_at=10.0, now=10.05)


def test_an_explanation_reads_as_a_sentence():
    free = Explanation("a", 7, (), ())
    held = Explanation("a", 7, (HOLDER,), ())

    assert free.is_free
    assert str(free) == "'a' is free; 0 wait."
    assert not held.is_free
    assert str(held) == (
        "'a' is held by report in host-1-ab.1, since 2.0 s, token 7; 0 wait."
    )
