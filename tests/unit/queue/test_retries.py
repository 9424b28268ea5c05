"""Retries do not become the load."""

from __future__ import annotations

import pytest

from quorate.core.clock import Chance
from quorate.queue.model import Move, MoveKind
from quorate.queue.patience import RetryPolicy
from quorate.queue.retries import RetryBudgets
from quorate.resilience.backoff import exponential

POLICY = RetryPolicy(5, exponential(1.0, 600.0))
AGAIN = Move(MoveKind.RETRY, delay_s=0.5, record=(1, 0, 0))


def tries(budgets: RetryBudgets, count: int, name: str = "work") -> int:
    """So many failures at once; how many of them are retried at their pace."""
    moves = [budgets.within(AGAIN, name, POLICY, 1.0, Chance(n)) for n in range(count)]
    for move in moves:
        assert move.kind is MoveKind.RETRY
        assert move.record == AGAIN.record
        assert move == AGAIN or 300 <= move.delay_s <= 600
    return moves.count(AGAIN)


def test_a_share_of_what_began_lately_is_tried_again_soon():
    budgets = RetryBudgets(share=0.2, floor_per_s=0)
    for _ in range(100):
        budgets.began("work")
    budgets.note(1.0)

    assert tries(budgets, 100) == 20
    assert budgets.postponed == 80


def test_a_quiet_worker_may_retry_as_well():
    assert tries(RetryBudgets(share=0.2, floor_per_s=1.0), 100) == 10


def test_what_began_long_ago_does_not_count():
    budgets = RetryBudgets(share=0.2, floor_per_s=0)
    for _ in range(1000):
        budgets.began("work")
    budgets.note(-10.0)

    assert tries(budgets, 10) == 0


def test_each_name_has_a_budget_of_its_own():
    budgets = RetryBudgets(share=0.2, floor_per_s=0.1)

    assert tries(budgets, 5, "broken") == 1
    assert tries(budgets, 5, "other") == 1


@pytest.mark.parametrize("kind", [kind for kind in MoveKind if kind.value != "retry"])
def test_only_retries_are_held_back(kind):
    budgets = RetryBudgets(share=0, floor_per_s=0)
    move = Move(kind)

    assert budgets.within(move, "work", POLICY, 1.0, Chance(1)) is move
    assert budgets.postponed == 0
