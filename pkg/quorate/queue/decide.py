"""Outcome × record × chance → what becomes of the task.

Three budgets are kept apart: attempts that failed, workers that died under the task,
and workers that did not know it. Giving a task back costs none of them. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from quorate.core.clock import Chance
from quorate.core.errors import words_of
from quorate.resilience.backoff import Backoff, exponential

from .model import DeadReason, Lease, Move, MoveKind
from .patience import RetryPolicy

LONGEST_ERROR = 8192
"""Characters of an error that are kept with a dead letter."""

LONGEST_WHY = 500
"""Characters of an error that are kept with a task that is tried again."""

LONGEST_ASKED_S = 366 * 86_400.0
"""An error may ask for a rest, but for no longer one."""

BOUNCE_BUDGET = 7
BOUNCES: Backoff = exponential(1.0, 10.0)
"""A task that nobody knows waits about half a minute for a worker that does."""

ELSEWHERE_S = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that did not succeed, in words.

    `retry_after_s` is what the error itself asked for; `final` says that trying again
    makes no sense.
    """

    error: str
    retry_after_s: float | None = None
    final: bool = False


def failure_of(error: BaseException, policy: RetryPolicy) -> Failure:
    """`error` as a failure. An attribute `retry_after_s` on it is honoured,
    up to a year."""
    words = words_of(error)
    try:
        asked = getattr(error, "retry_after_s", None)
    except Exception as odd:
        asked, words = None, f"{words} (its retry_after_s: {words_of(odd)})"
    after_s = (
        float(min(asked, LONGEST_ASKED_S))
        if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0
        else None
    )
    return Failure(words[:LONGEST_ERROR], after_s, isinstance(error, policy.give_up_on))


def after_success(result: bytes, keep_s: float) -> Move:
    """It is done; the result is kept for `keep_s`."""
    return Move(MoveKind.DONE, keep_s=keep_s, body=result)


def after_failure(
    lease: Lease, failure: Failure, policy: RetryPolicy, chance: Chance
) -> Move:
    """Another attempt after a rest, or the dead letters when the budget is spent."""
    if failure.final:
        return dead(lease, DeadReason.GIVEN_UP, failure.error)
    if lease.attempt >= policy.attempts:
        return dead(lease, DeadReason.EXHAUSTED, failure.error)
    delay_s = failure.retry_after_s
    if delay_s is None:
        delay_s = policy.backoff.delay_s(lease.attempt, chance)
    record = (lease.failures + 1, lease.crashes, lease.bounces)
    why = f"Attempt {lease.attempt} failed: {failure.error}"[:LONGEST_WHY]
    body = why.encode("utf-8", "replace")
    return Move(MoveKind.RETRY, delay_s=delay_s, record=record, body=body)


def after_crash(lease: Lease, budget: int, why: str) -> Move:
    """Its own process died under it: again after a rest, until the budget is spent."""
    crashes = lease.crashes + 1
    if crashes >= budget:
        return dead(lease, DeadReason.POISON, f"{crashes} processes died: {why}")
    record = (lease.failures, crashes, lease.bounces)
    return Move(MoveKind.BACK, delay_s=ELSEWHERE_S, record=record)


def after_release(lease: Lease, delay_s: float = 0.0) -> Move:
    """Given back without having been finished: nothing is counted against it."""
    record = (lease.failures, lease.crashes, lease.bounces)
    return Move(MoveKind.BACK, delay_s=delay_s, record=record)


def after_hold(lease: Lease, service: str) -> Move:
    """Set aside until `service` is up: nothing is counted against it."""
    return Move(MoveKind.HELD, body=service.encode())


def after_cancel(keep_s: float) -> Move:
    """Somebody did not want it any more; that is remembered for `keep_s`."""
    return Move(MoveKind.CANCELLED, keep_s=keep_s)


def when_unknown(lease: Lease, name: str, chance: Chance, *, elsewhere: bool) -> Move:
    """No handler of that name here; `elsewhere` says that a live worker has one."""
    if elsewhere:
        return after_release(lease, ELSEWHERE_S * (0.5 + chance.random()))
    if lease.bounces + 1 >= BOUNCE_BUDGET:
        error = f"No worker has a handler for {name!r}."
        return dead(lease, DeadReason.UNKNOWN_TASK, error)
    delay_s = BOUNCES.ceiling_s(lease.bounces + 1)
    record = (lease.failures, lease.crashes, lease.bounces + 1)
    return Move(MoveKind.BACK, delay_s=delay_s, record=record)


def dead(lease: Lease, reason: DeadReason, error: str) -> Move:
    """Set aside, with the reason and the last error."""
    body = death_note(reason, error, lease.attempt, lease.lane)
    return Move(MoveKind.DEAD, body=body)


def death_note(reason: DeadReason, error: str, attempt: int, lane: int) -> bytes:
    """What is kept of a dead task's end, as JSON."""
    note = {
        "reason": reason.value,
        "error": error[:LONGEST_ERROR],
        "attempt": attempt,
        "lane": lane,
    }
    return json.dumps(note, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
