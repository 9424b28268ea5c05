import pytest

from quorate.core.errors import InvalidInput
from quorate.health.model import (
    HealthCheckConfig,
    HealthTerms,
    down,
    failed,
    inconclusive,
    passed,
    warned,
)
from quorate.verdict.model import Outcome


def test_results_are_made_by_their_words():
    made = [f("m", code="7") for f in (passed, warned, failed, down, inconclusive)]

    assert [result.outcome for result in made] == [
        Outcome.SUCCESS,
        Outcome.WARNING,
        Outcome.FAILURE,
        Outcome.DOWN,
        Outcome.INCONCLUSIVE,
    ]
    assert all(result.message == "m" for result in made)
    assert all(result.details == {"code": "7"} for result in made)


def test_the_owners_config_has_the_owners_names():
    config = HealthCheckConfig(interval=30.0, timeout=10.0)

    assert (config.rise, config.fall, config.critical) == (2, 3, True)
    assert config.pace.retry_s == 7.5


def test_a_retry_interval_may_be_given():
    assert HealthCheckConfig(interval=4.0, retry_interval=2.0).pace.retry_s == 2.0


def test_a_check_that_may_take_longer_than_its_interval_is_not_stale_for_that():
    assert HealthCheckConfig(interval=1.0, timeout=5.0).thresholds.stale_after_s == 15
    assert HealthCheckConfig(interval=5.0, timeout=1.0).thresholds.stale_after_s == 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 0},
        {"interval": float("inf")},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"rise": 0},
        {"fall": 0},
        {"warn_after": 0},
        {"startup_grace": -1},
        {"retry_interval": 0},
        {"interval": 1.0, "retry_interval": 2.0},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidInput):
        HealthCheckConfig(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"history": 0}, {"at_once": 0}, {"check_interval": 0}, {"rise": 0}]
)
def test_terms_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInput):
        HealthTerms(**wrong)


def test_terms_give_checks_their_usual_config():
    terms = HealthTerms(check_interval=8.0, timeout=2.0, rise=3, fall=4)

    assert terms.usual_config == HealthCheckConfig(8.0, 2.0, 3, 4)
