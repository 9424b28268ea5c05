"""Try again, with rests, a limit, a deadline and a budget.

The loop is tenacity's; the rests are our `Backoff`, and the decision to stop looks at
attempts, deadline and budget. Cancellation is never caught and never repeated.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from quorate.core.clock import Chance, Clock, SystemClock, fresh_chance
from quorate.core.errors import InvalidInput

from .backoff import Backoff, exponential
from .budget import RetryBudget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    `attempts` counts the first one too. `deadline_s` is for everything together, rests
    included; `attempt_timeout_s` is for one attempt. `on` names the errors that are
    worth another attempt. Raises `InvalidInput` for limits that are not above 0.
    """

    attempts: int = 3
    backoff: Backoff = field(default_factory=lambda: exponential(0.1, 5.0))
    deadline_s: float = 30.0
    attempt_timeout_s: float | None = None
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        limits = (self.attempts, self.deadline_s, self.attempt_timeout_s)
        if not all(limit is None or 0 < limit < math.inf for limit in limits):
            raise InvalidInput(
                f"{self.attempts} attempts within {self.deadline_s} s, each within "
                f"{self.attempt_timeout_s} s, cannot be done.",
                "Each limit must be above 0 and finite.",
            )


async def retry(
    work: Callable[[], Awaitable[T]],
    policy: RetryPolicy | None = None,
    *,
    budget: RetryBudget | None = None,
    clock: Clock | None = None,
    chance: Chance | None = None,
) -> T:
    """The result of the first attempt at `work` that succeeds.

    An error that `policy.on` does not name passes through at once. Otherwise the last
    attempt's own error is raised, with a note on why there was no further attempt:
    attempts used up, deadline too near, or budget spent. An attempt that is cut off by
    a limit raises `TimeoutError`.
    """
    series = _Series(
        policy or RetryPolicy(),
        budget,
        clock or SystemClock(),
        chance or fresh_chance(),
    )
    return await series.run(work)


class _Series:
    """The attempts at one piece of work."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget | None,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._chance = chance
        self._ends_at = clock.monotonic() + policy.deadline_s

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._budget is not None:
            self._budget.called(self._clock.monotonic())

        async def attempt() -> T:
            async with asyncio.timeout(self._attempt_limit_s()):
                return await work()

        loop = AsyncRetrying(
            retry=retry_if_exception_type(self._policy.on),
            wait=self._rest_s,
            stop=self._is_over,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return await loop(attempt)

    def _attempt_limit_s(self) -> float:
        left_s = max(0.0, self._ends_at - self._clock.monotonic())
        return min(left_s, self._policy.attempt_timeout_s or left_s)

    def _rest_s(self, state: RetryCallState) -> float:
        return self._policy.backoff.delay_s(state.attempt_number, self._chance)

    def _is_over(self, state: RetryCallState) -> bool:
        why = self._why_over(state.attempt_number, state.upcoming_sleep)
        error = state.outcome.exception() if state.outcome else None
        if why and error is not None:
            error.add_note(f"Not tried again: {why}.")
        return bool(why)

    def _why_over(self, attempt: int, rest_s: float) -> str:
        now = self._clock.monotonic()
        if attempt >= self._policy.attempts:
            return f"this was attempt {attempt} of {self._policy.attempts}"
        if now + rest_s >= self._ends_at:
            return f"the deadline of {self._policy.deadline_s} s leaves no time"
        if self._budget is not None and not self._budget.take(now):
            return "the retry budget is spent"
        return ""
