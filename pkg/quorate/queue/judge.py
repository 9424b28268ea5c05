"""What becomes of an attempt: its result, another attempt, or the dead letters.

Three numbers bound a task in time, each for itself: the limit of one attempt, the
deadline of all attempts together, and the time until which it makes sense to begin.
"""

from __future__ import annotations

import math

from quorate.core.codec import encode
from quorate.core.errors import InvalidPayload, TaskTimeout

from .aside import ProcessDied
from .decide import (
    Failure,
    after_cancel,
    after_crash,
    after_failure,
    after_release,
    after_success,
    dead,
    failure_of,
)
from .desk import Desk
from .envelope import Header
from .model import DeadReason, Lease, Move, MoveKind
from .patience import RetryPolicy
from .retries import RetryBudgets
from .run import Run, Stop

NULL = b"null"
NO_LONGER = (
    "RabbitMQ takes a task away after its consumer_timeout. Raise that, or keep the "
    "state in a Redis beside it."
)
GRAIN_S = 0.05
"""Limits that follow from a deadline are cut to this, so that few are different."""


class Judge:
    """Decides about the attempts of one queue in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config = desk.config
        self.budgets = RetryBudgets(config.retry_share, config.retry_floor_per_s)

    def limit_s(self, run: Run) -> float:
        """How long this attempt may take."""
        limit_s = min(
            run.header.timeout_s
            or run.handler.timeout_s
            or self._desk.config.attempt_timeout_s,
            self._desk.longest_attempt_s(),
        )
        ends_at = run.header.deadline_at
        if ends_at is None or (left_s := ends_at - self._desk.clock.now()) >= limit_s:
            return limit_s
        return max(GRAIN_S, math.floor(left_s / GRAIN_S) * GRAIN_S)

    def success(self, run: Run, value: object) -> Move:
        """The handler returned."""
        config = self._desk.config
        keep_s = run.header.keep_result_s
        keep_s = config.result_ttl_s if keep_s is None else keep_s
        try:
            body = (
                NULL
                if value is None
                else encode(value, "result", config.result_max_bytes)
            )
        except InvalidPayload as error:
            return dead(run.lease, DeadReason.BAD_RESULT, str(error))
        return after_success(body, keep_s)

    def failed(self, run: Run, error: BaseException) -> Move:
        """The handler raised."""
        if not run.is_read and isinstance(error, InvalidPayload):
            return dead(run.lease, DeadReason.UNDECODABLE, str(error))
        if isinstance(error, ProcessDied):
            budget = self._desk.config.crash_budget
            return after_crash(run.lease, budget, str(error))
        policy = self._policy(run).for_error(error)
        return self._again(run, failure_of(error, policy), policy)

    def after_stop(self, run: Run) -> Move | None:
        """It was stopped; None if nothing may be said about it any more."""
        if run.stop is Stop.LOST:
            return None
        if run.stop is Stop.RELEASE:
            return after_release(run.lease)
        if run.stop is Stop.CANCEL:
            return after_cancel(self._desk.config.result_ttl_s)
        if run.stop is Stop.TIMEOUT:
            why = NO_LONGER if run.limit_s >= self._desk.longest_attempt_s() else ""
            what = f"the attempt ran longer than {run.limit_s:g} s."
            return self.failed(run, TaskTimeout(what, why))
        words = "CancelledError: something that it waited for was cancelled."
        return self._again(run, Failure(words), self._policy(run))

    def _again(self, run: Run, failure: Failure, policy: RetryPolicy) -> Move:
        """Another attempt, if the task, its name and its deadline leave room for it."""
        desk, lease = self._desk, run.lease
        move = after_failure(lease, failure, policy, desk.chance)
        if failure.retry_after_s is None:
            name, now = run.header.name, desk.clock.monotonic()
            move = self.budgets.within(move, name, policy, now, desk.chance)
        ends_at = run.header.deadline_at
        if ends_at is None or move.kind is not MoveKind.RETRY:
            return move
        if desk.clock.now() + move.delay_s < ends_at:
            return move
        return dead(lease, DeadReason.DEADLINE, failure.error)

    def _policy(self, run: Run) -> RetryPolicy:
        policy = run.handler.retry or self._desk.config.retry
        attempts = run.header.attempts
        if attempts is None or attempts == policy.attempts:
            return policy
        return RetryPolicy(attempts, policy.backoff, policy.give_up_on, policy.rules)


def too_late(lease: Lease, header: Header, now: float) -> Move | None:
    """Set aside what makes no sense to begin any more at `now` (wall time)."""
    if header.expires_at is not None and now > header.expires_at:
        return dead(lease, DeadReason.EXPIRED, "It was not begun before it expired.")
    if header.deadline_at is not None and now >= header.deadline_at:
        return dead(lease, DeadReason.DEADLINE, "Its deadline has passed.")
    return None
