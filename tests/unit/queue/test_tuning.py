"""What the configuration may say of queues while workers run."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput
from quorate.queue.guards import Rate
from quorate.queue.model import LaneWeights, QueueConfig
from quorate.queue.tuning import UNTUNED, check_tuning, tuning_of

CONFIG = QueueConfig(concurrency=8, weights=LaneWeights(9, 3, 1))


def test_what_is_not_said_stays_as_it_was():
    assert UNTUNED.applied(CONFIG) == CONFIG
    assert not UNTUNED.paused
    assert UNTUNED.rate is None


def test_all_queues_are_tuned_and_one_has_the_last_word():
    values = {
        "queue": {"ignored": 1},
        "queue.concurrency": 20,
        "queue.weights.low": 2,
        "queue.strict": True,
        "queue.age_floor_s": 5,
        "queue.reserved_for_high": 0.5,
        "queues.mail.eu.concurrency": 3,
        "queues.mail.eu.paused": True,
        "queues.mail.eu.rate.limit": 10,
    }

    other, mail = tuning_of("other", values), tuning_of("mail.eu", values)

    tuned = other.applied(CONFIG)
    assert (tuned.concurrency, tuned.weights) == (20, LaneWeights(9, 3, 2))
    assert (tuned.strict, tuned.age_floor_s, tuned.reserved_for_high) == (True, 5, 0.5)
    assert not other.paused
    assert mail.applied(CONFIG).concurrency == 3
    assert mail.applied(CONFIG).strict
    assert mail.paused
    assert mail.rate == Rate(10)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("queue.concurrency", 0),
        ("queue.concurrency", 10_001),
        ("queue.concurrency", "8"),
        ("queue.concurrency", True),
        ("queue.concurrency", 2.5),
        ("queues.mail.concurrency", -1),
        ("queues.mail.eu.weights.low", 0),
        ("queue.reserved_for_high", 1.0),
        ("queue.reserved_for_high", float("nan")),
        ("queue.age_floor_s", 0),
        ("queue.paused", "yes"),
        ("queue.strict", 1),
        ("queues.mail.rate.limit", 0),
        ("queues.mail.rate.per_s", 0),
        ("queues.mail.rate.burst", -1),
    ],
)
def test_what_no_worker_could_heed_is_refused_by_name(key, value):
    with pytest.raises(InvalidInput, match=key):
        check_tuning({key: value})


def test_what_concerns_somebody_else_is_let_pass():
    check_tuning(
        {
            "queue": {},
            "queue.concurrency": 1,
            "queue.retries.attempts": 0,
            "queue.mine.concurrency": "app's own",
            "database.concurrency": "ten",
            "queues.mail": {"paused": True},
            "queues.mail.paused": True,
            "queue.paused": None,
        }
    )
