"""Outcome × record × chance → move."""

from __future__ import annotations

import json

import pytest
from tests.unit.queue.fakes import a_lease

from quorate.core.clock import Chance
from quorate.queue.decide import (
    BOUNCE_BUDGET,
    LONGEST_ERROR,
    Failure,
    after_cancel,
    after_failure,
    after_release,
    after_success,
    dead,
    failure_of,
    when_unknown,
)
from quorate.queue.model import DeadReason, MoveKind
from quorate.queue.patience import RetryPolicy
from quorate.resilience.backoff import constant, exponential

POLICY = RetryPolicy(attempts=3, backoff=exponential(1.0, 600.0))


def test_success_keeps_the_result():
    move = after_success(b"1", 60.0)

    assert (move.kind, move.body, move.keep_s) == (MoveKind.DONE, b"1", 60.0)


def test_a_failure_is_tried_again_after_a_rest_with_full_jitter():
    delays = [
        after_failure(a_lease(failures=1), Failure("no"), POLICY, Chance(seed)).delay_s
        for seed in range(200)
    ]

    assert min(delays) < 0.2
    assert max(delays) > 1.8
    assert max(delays) <= 2.0


def test_a_failure_is_written_down_and_leaves_the_other_budgets_alone():
    lease = a_lease(failures=1, crashes=2, bounces=3)

    move = after_failure(lease, Failure("no"), POLICY, Chance(1))

    assert (move.kind, move.record) == (MoveKind.RETRY, (2, 2, 3))


def test_the_last_attempt_ends_in_the_dead_letters():
    move = after_failure(a_lease(failures=2), Failure("no"), POLICY, Chance(1))

    assert move.kind is MoveKind.DEAD
    assert json.loads(move.body) == {
        "reason": "exhausted", "error": "no", "attempt": 3, "lane": 1,
    }  # fmt: skip


def test_crashes_do_not_use_up_attempts():
    lease = a_lease(crashes=50)

    assert after_failure(lease, Failure("no"), POLICY, Chance(1)).kind is MoveKind.RETRY


def test_an_error_may_say_when_to_try_again():
    class TooMany(Exception):
        retry_after_s = 7

    failure = failure_of(TooMany("slow down"), POLICY)

    assert failure.error == "TooMany: slow down"
    assert after_failure(a_lease(), failure, POLICY, Chance(1)).delay_s == 7.0


@pytest.mark.parametrize("asked", [-1, "soon", True, None])
def test_what_is_no_time_is_not_heeded(asked):
    error = RuntimeError("no")
    error.retry_after_s = asked  # type: ignore[attr-defined]

    assert failure_of(error, POLICY).retry_after_s is None


def test_errors_that_are_given_up_on_are_not_tried_again():
    policy = RetryPolicy(5, constant(1.0), give_up_on=(LookupError,))

    failure = failure_of(KeyError("x"), policy)

    move = after_failure(a_lease(), failure, policy, Chance(1))
    assert json.loads(move.body)["reason"] == "given_up"


def test_giving_back_costs_nothing():
    move = after_release(a_lease(failures=1, crashes=1, bounces=1), 2.0)

    assert (move.kind, move.delay_s, move.record) == (MoveKind.BACK, 2.0, (1, 1, 1))


def test_cancelling_is_remembered():
    assert after_cancel(9.0).kind is MoveKind.CANCELLED
    assert after_cancel(9.0).keep_s == 9.0


def test_an_unknown_task_waits_for_a_worker_that_knows_it():
    move = when_unknown(a_lease(bounces=40), "x", Chance(1), elsewhere=True)

    assert (move.kind, move.record) == (MoveKind.BACK, (0, 0, 40))
    assert 0.5 <= move.delay_s <= 1.5


def test_a_task_that_nobody_knows_is_set_aside_after_about_half_a_minute():
    waited, bounces = 0.0, 0
    move = when_unknown(a_lease(), "x", Chance(1), elsewhere=False)
    while move.kind is MoveKind.BACK:
        waited += move.delay_s
        bounces = move.record[2]
        move = when_unknown(a_lease(bounces=bounces), "x", Chance(1), elsewhere=False)

    assert bounces == BOUNCE_BUDGET - 1
    assert 20 <= waited <= 60
    assert json.loads(move.body)["reason"] == "unknown_task"


def test_a_long_error_is_cut_and_strange_text_survives():
    move = dead(a_lease(), DeadReason.GIVEN_UP, "ü\ud800" * LONGEST_ERROR)

    note = json.loads(move.body)
    assert len(note["error"]) <= LONGEST_ERROR
    assert note["error"].startswith("ü")
