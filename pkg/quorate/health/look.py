"""One look through one checker, which always comes to an end and to a result."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from quorate.core.clock import Clock
from quorate.verdict.model import Outcome

from .lag import LoopLag
from .model import CheckResult, failed, inconclusive
from .ports import HealthChecker

DOUBTFUL_SHARE = 0.5
MESSAGE_CHARS = 1024


async def look(
    checker: HealthChecker, timeout_s: float, *, clock: Clock, lag: LoopLag
) -> CheckResult:
    """What `checker` finds within `timeout_s`; errors and lateness are failures.

    If the event loop stood still for half of `timeout_s` meanwhile, a failure is
    inconclusive: not the target was slow, this process was.
    """
    began, stalled_s = clock.monotonic(), lag.stalled_s()
    result = await _ask(checker, timeout_s)
    lost_s = lag.stalled_s() - stalled_s
    outcome = result.outcome
    if outcome is Outcome.FAILURE and lost_s > DOUBTFUL_SHARE * timeout_s:
        outcome = Outcome.INCONCLUSIVE
    return replace(
        result,
        outcome=outcome,
        message=result.message[:MESSAGE_CHARS],
        duration_s=clock.monotonic() - began,
        at=clock.now(),
    )


async def _ask(checker: HealthChecker, timeout_s: float) -> CheckResult:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            result = await checker.check()
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            raise
        return inconclusive("the check was cancelled from within")
    except Exception as error:
        if limit.expired():
            return failed(no_answer(timeout_s))
        return failed(described(error))
    if not isinstance(result, CheckResult):
        return failed(
            f"check() of {type(checker).__name__} returned "
            f"{type(result).__name__}, not a CheckResult"
        )
    return result


def no_answer(timeout_s: float) -> str:
    """The words for a deadline that was missed."""
    return f"no answer within {timeout_s:g} s"


def described(error: BaseException) -> str:
    """An error in a few words, without what changes every time."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
