import asyncio

import pytest

from quorate.health.lag import LoopLag
from quorate.health.look import MESSAGE_CHARS, look
from quorate.health.model import failed, passed, warned
from quorate.verdict.model import Outcome


@pytest.fixture
async def lag(clock):
    """A meter that has seen a stall before."""
    lag = LoopLag(clock)
    await lag.tick()
    await clock.advance(5.0)
    await lag.tick()
    return lag


async def test_what_a_checker_finds_is_dated(scripted, clock, lag):
    result = await look(scripted(warned("slow", code="7")), 1.0, clock=clock, lag=lag)

    assert (result.outcome, result.message) == (Outcome.WARNING, "slow")
    assert result.details == {"code": "7"}
    assert result.at == clock.now()


async def test_an_error_is_a_failure(scripted, clock, lag):
    error = ConnectionRefusedError("refused\nwith much more text")

    result = await look(scripted(error), 1.0, clock=clock, lag=lag)

    assert result.outcome is Outcome.FAILURE
    assert result.message == "ConnectionRefusedError: refused"


async def test_an_error_without_words_has_its_name(scripted, clock, lag):
    result = await look(scripted(TimeoutError()), 1.0, clock=clock, lag=lag)

    assert result.message == "TimeoutError"


class Hanging:
    async def check(self):
        await asyncio.Event().wait()


async def test_a_checker_that_hangs_is_cut_off(clock, lag):
    async with asyncio.timeout(1.0):
        result = await look(Hanging(), 0.01, clock=clock, lag=lag)

    assert result.outcome is Outcome.FAILURE
    assert result.message == "no answer within 0.01 s"


async def test_a_cancelled_look_stays_cancelled(clock, lag):
    task = asyncio.ensure_future(look(Hanging(), 60.0, clock=clock, lag=lag))
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task], timeout=1.0)

    assert task.cancelled()


async def test_a_checker_that_was_cancelled_from_within_is_inconclusive(
    scripted, clock, lag
):
    result = await look(scripted(asyncio.CancelledError()), 1.0, clock=clock, lag=lag)

    assert result.outcome is Outcome.INCONCLUSIVE


class Wrong:
    async def check(self):
        return "fine"


async def test_a_checker_that_answers_with_something_else_fails(clock, lag):
    result = await look(Wrong(), 1.0, clock=clock, lag=lag)

    assert result.outcome is Outcome.FAILURE
    assert "check() of Wrong returned str" in result.message


async def test_an_endless_message_is_cut(scripted, clock, lag):
    result = await look(scripted(passed("x" * 5000)), 1.0, clock=clock, lag=lag)

    assert len(result.message) == MESSAGE_CHARS


class Stalling:
    """Its process stands still while it looks."""

    def __init__(self, clock, stall_s, result):
        self.clock = clock
        self.stall_s = stall_s
        self.result = result

    async def check(self):
        await self.clock.advance(self.stall_s)
        return self.result


@pytest.mark.parametrize(
    ("stall_s", "result", "expected"),
    [
        (1.0, failed("late"), Outcome.FAILURE),
        (1.2, failed("late"), Outcome.INCONCLUSIVE),
        (9.0, failed("late"), Outcome.INCONCLUSIVE),
        (9.0, passed(), Outcome.SUCCESS),
        (9.0, warned("slow"), Outcome.WARNING),
    ],
)
async def test_failures_seen_while_the_loop_stood_still_do_not_count(
    clock, lag, stall_s, result, expected
):
    found = await look(Stalling(clock, stall_s, result), 2.0, clock=clock, lag=lag)

    assert found.outcome is expected
    assert found.duration_s == pytest.approx(stall_s)
