"""The slow look of waiters, in case that news were lost without a trace."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.locks.line import TAG, Line, turns, until

from quorate.core.clock import Chance
from quorate.core.errors import SessionLostError, StoreUnavailable
from quorate.core.events import silent
from quorate.core.lifecycle import Tasks
from quorate.locks.answers import Ask, Granted, Queued, Sighting
from quorate.locks.bid import Attempt, Bid, Parts
from quorate.locks.model import LockConfig, LockType
from quorate.locks.returning import AGAIN_S, Claim, Returns
from quorate.locks.waiting import IDLE_S, Bids
from quorate.locks.wish import Wish

WISH = Wish("a", LockType.EXCLUSIVE)


@pytest.fixture
async def parts(line: Line):
    tasks = Tasks(silent, line.session.clock)
    yield Parts(
        line, line.session, LockConfig(long_wait_s=60.0), tasks, silent, Chance(7)
    )
    await tasks.close()


@pytest.fixture
async def returns(parts: Parts) -> Returns:
    return Returns(parts.store, parts.tasks, silent)


@pytest.fixture
async def bids(parts: Parts, returns: Returns) -> Bids:
    return Bids(parts, returns)


async def test_with_nobody_waiting_there_is_nothing_to_look_at(bids):
    assert await bids.tick() == IDLE_S


async def test_a_waiter_looks_about_once_in_the_life_of_a_session(
    bids, parts, line, clock
):
    line.seize("a")
    bid = await bids.ask(Attempt(WISH, "o", parts.now()))
    rest_s = await bids.tick()
    assert 11.0 < rest_s <= 15.0

    await clock.advance(rest_s)
    assert 11.0 < await bids.tick() <= 15.0
    await turns()

    assert line.count("acquire") == 2
    assert bid.queued is not None
    assert line.asks[bid.ask.id].under == bid.queued.session


async def test_the_look_finds_a_grant_of_which_no_news_came(bids, parts, line, clock):
    line.seize("a")
    bid = await bids.ask(Attempt(WISH, "o", parts.now()))
    line.deaf = True
    line.free("a")

    await clock.advance(15.0)
    await bids.tick()
    await asyncio.wait_for(bids.outcome(bid), 5)
    hold = bids.take(bid, WISH)

    assert hold is not None
    assert hold.token == line.last - 31


async def test_a_waiter_looks_when_a_hard_end_is_due(bids, parts, line):
    async def acquire(ask: Ask) -> Queued:
        return Queued(TAG, "me.1", Sighting(parts.now(), 0.0), 0.4, None)

    line.acquire = acquire
    await bids.ask(Attempt(WISH, "o", parts.now()))

    assert 0.4 <= await bids.tick() < 0.5


def test_a_claim_that_is_still_being_asked_for_may_echo():
    bid = Bid(Ask("a", "me:1", False, True, 0.0, "o", ""), WISH, 0.0)
    assert bid.claim() == Claim("a", "me:1", "", echo=False)

    bid.in_flight = 1

    assert bid.claim().echo


async def test_a_claim_that_cannot_be_ended_is_tried_again_with_rests(
    returns, line, parts
):
    line.seize("a")
    for _ in range(3):
        line.fail("leave", StoreUnavailable("away"), before=True)
    returns.soon(Claim("a", "else", "me.1", echo=False))
    await turns()
    assert "else" in returns
    assert await returns.tick() == AGAIN_S

    await until(lambda: not line.held)

    assert await returns.tick() == IDLE_S
    assert len(returns) == 0


async def test_settling_ends_what_it_can_and_does_not_wait_for_the_rest(
    returns, line, clock
):
    async def never(name: str, ident: str, *, echo: bool) -> str:
        await asyncio.Event().wait()
        return "held"

    line.leave = never
    returns.soon(Claim("a", "me:1", "me.1", echo=False))

    await returns.settle(0.02)

    assert "me:1" in returns


async def test_after_the_last_call_nothing_more_is_taken_on(returns, parts, line):
    await returns.settle(1.0)
    await parts.tasks.close()

    returns.soon(Claim("a", "me:1", "me.1", echo=False))

    assert line.count("leave") == 0
    assert len(returns) == 0


async def test_a_grant_is_trusted_from_before_it_was_given(bids, parts, clock):
    wish = Wish("a", LockType.EXCLUSIVE, timeout_s=10.0)
    bid = Bid(Ask("a", "me:1", False, True, 10.0, "o", ""), wish, parts.now())
    session = await parts.session.join(TAG)
    bid.granted = Granted(1, 32, TAG, session, parts.now() - 4.0)

    hold = bids.take(bid, wish)

    assert hold is not None
    assert 5.0 < hold.left_s(parts.now()) < 6.0


async def test_a_place_that_was_taken_under_a_session_lost_meanwhile_is_taken_again(
    bids, parts, line, clock
):
    """The answer came only after everybody had been told of the loss."""
    line.seize("a")
    await line.session.join(TAG)
    (member,) = line.session.memberships()
    acquire = line.acquire

    async def late(ask: Ask) -> Queued:
        if ask.under and ask.under != line.session.name_in(TAG):
            raise SessionLostError(f"The session {ask.under} is over.")
        answer = await acquire(ask)
        line.session.lost(member, "test")
        bids.session_lost(member.name)
        return answer

    line.acquire = late
    bid = await bids.ask(Attempt(WISH, "o", parts.now()))

    await clock.advance(15.0)
    await bids.tick()

    await asyncio.wait_for(bids.outcome(bid), 1)
    assert bids.take(bid, WISH) is None
