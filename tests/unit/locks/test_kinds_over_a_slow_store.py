"""Upgrades, meetings and elections when news are lost, late, or the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.locks.line import TAG, Line, a_session, membership, turns, until

from quorate.core.clock import Chance
from quorate.core.errors import (
    DeadlockError,
    InvalidInput,
    LockLostError,
    LockNotGranted,
    StoreUnavailable,
)
from quorate.locks.answers import (
    Confirm,
    Granted,
    GrantNotice,
    Queued,
    ResyncNotice,
    Sighting,
)
from quorate.locks.manager import LockManager
from quorate.locks.model import LockType
from quorate.locks.store import Beside

SHARED = LockType.SHARED


class Turning(Line):
    """A line whose holds can be turned; `others` readers hold it too."""

    others = 0
    upgrades = 0
    failing: Exception | None = None

    async def upgrade(
        self, name: str, ident: str, confirm: Confirm | None = None
    ) -> Granted | Queued:
        self.upgrades += 1
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing
        now = self.session.clock.monotonic()
        me = self.session.name_in(TAG) or ""
        if self.others:
            return Queued(TAG, me, Sighting(now, 0.0), None, None)
        return Granted(5000, 5031, TAG, me, now)

    async def downgrade(self, name: str, ident: str) -> int:
        self.calls.append(("downgrade", ident))
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing
        return 5031


class Square:
    """Where processes meet, in memory."""

    def __init__(self) -> None:
        self.counted: set[str] = set()
        self.passed: int | None = None
        self.failing: Exception | None = None
        self.rings: list[Callable[[], None]] = []
        self.departed: list[str] = []
        self.line: set[str] = set()

    async def watch(self, name: str, ring: Callable[[], None]) -> Callable[[], None]:
        self.rings.append(ring)
        return lambda: self.rings.remove(ring)

    async def prefer(self, name: str, candidate: str) -> bool:
        return candidate in self.line

    async def count(self, name: str, participant: str) -> int:
        if participant:
            self.counted.add(participant)
        return len(self.counted)

    async def arrive(
        self, name: str, participant: str, attempt: str, parties: int
    ) -> int | None:
        return self.passed

    async def depart(self, name: str, participant: str, attempt: str) -> int | None:
        self.departed.append(participant)
        if self.failing is not None:
            raise self.failing
        return self.passed

    def ring(self) -> None:
        for ring in tuple(self.rings):
            ring()


@pytest.fixture
def line(clock) -> Turning:
    return Turning(a_session(clock))


@pytest.fixture
def square() -> Square:
    return Square()


@pytest.fixture
async def manager(line, square, heard) -> AsyncIterator[LockManager]:
    manager = LockManager(
        line,
        line.session,
        emit=heard.emit,
        chance=Chance(1),
        beside=Beside(meetings=square),
    )
    async with manager:
        yield manager


async def test_news_of_an_upgrade_are_enough(manager, line):
    line.others = 1
    async with manager.acquire_lock("a", SHARED) as grant:
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: line.upgrades == 1)
        await turns()

        line.tell(GrantNotice("a", "me:1", 7000, 7031, 0.0))

        await upgrading
        assert (grant.token, grant.lock_type) == (7000, LockType.EXCLUSIVE)
        assert line.upgrades == 1


async def test_an_upgrade_is_asked_for_again_when_news_may_have_been_lost(
    manager, line
):
    line.others = 1
    async with manager.acquire_lock("a", SHARED) as grant:
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: line.upgrades == 1)
        await turns()
        line.others = 0

        line.tell(ResyncNotice())

        await upgrading
        assert line.upgrades == 2


async def test_one_hold_is_upgraded_once_at_a_time(manager, line):
    line.others = 1
    async with manager.acquire_lock("a", SHARED) as grant:
        upgrading = asyncio.ensure_future(grant.upgrade())
        await until(lambda: line.upgrades == 1)

        with pytest.raises(InvalidInput, match="already"):
            await grant.upgrade()

        upgrading.cancel()
        await asyncio.wait({upgrading})
        assert ("downgrade", "me:1") in line.calls


async def test_a_hold_that_is_lost_while_it_waits_is_not_upgraded(manager, line):
    line.others = 1
    with pytest.raises(LockLostError):
        async with manager.acquire_lock("a", SHARED, on_loss="flag") as grant:
            upgrading = asyncio.ensure_future(grant.upgrade())
            await until(lambda: line.upgrades == 1)
            await turns()
            line.session.lost(membership(line.session), "a test says so")
            with pytest.raises(LockLostError):
                await upgrading
            with pytest.raises(LockLostError):
                await grant.upgrade()


async def test_what_the_server_does_not_know_any_more_is_lost(manager, line):
    line.failing = LockLostError("gone", "the server had ended it")
    for turn in ("upgrade", "downgrade"):
        kind = SHARED if turn == "upgrade" else LockType.EXCLUSIVE
        with pytest.raises(LockLostError):
            async with manager.acquire_lock(turn, kind) as grant:
                await getattr(grant, turn)()
    assert manager.stats().lost_total == 2


async def test_an_upgrade_that_fails_leaves_a_reader(manager, line):
    line.failing = DeadlockError("two")
    async with manager.acquire_lock("a", SHARED) as grant:
        with pytest.raises(DeadlockError):
            await grant.upgrade()
        assert grant.lock_type is SHARED
        line.failing = None
        await grant.upgrade()


async def test_what_was_not_sent_leaves_a_writer(manager, line):
    async with manager.acquire_lock("a") as grant:
        line.failing = StoreUnavailable("away")
        with pytest.raises(StoreUnavailable):
            await grant.downgrade()
        assert grant.lock_type is LockType.EXCLUSIVE
        line.failing = None
        await grant.downgrade()
        assert (grant.token, grant.lock_type) == (5031, SHARED)


async def test_a_latch_is_looked_at_when_it_rings(manager, square):
    latch = manager.latch("ready", 2)
    waiting = asyncio.ensure_future(latch.wait())
    await turns()
    assert await latch.count_down() == 1
    assert await latch.count_down("other") == 0
    assert not waiting.done()

    square.ring()

    await waiting
    assert not square.rings


async def test_a_wait_at_a_latch_ends_in_time_and_hears_nothing_more(manager, square):
    with pytest.raises(LockNotGranted, match="Not all came"):
        await manager.latch("ready", 2).wait(wait_s=0.01)

    assert not square.rings


async def test_who_passes_at_the_last_moment_has_passed(manager, square):
    waiting = asyncio.ensure_future(manager.barrier("b", 2).wait(wait_s=0.02))
    await turns()
    square.passed = 7

    assert await waiting == 7


async def test_a_cancelled_wait_stays_one_though_the_store_is_away(manager, square):
    waiting = asyncio.ensure_future(manager.barrier("b", 2).wait("one"))
    await turns()
    square.failing = StoreUnavailable("away")
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert square.departed == ["one"]


async def test_a_barrier_passes_when_it_rings(manager, square):
    waiting = asyncio.ensure_future(manager.barrier("b", 2).wait())
    await turns()
    square.passed = 1
    square.ring()

    assert await waiting == 1


async def test_a_leader_resigns_and_its_block_ends_in_peace(manager, line):
    async with manager.election("boss").campaign() as leadership:
        assert leadership.term == 1001
        assert leadership.valid_for() > 0
        assert line.held
        await leadership.resign()
        assert line.is_empty()
        with pytest.raises(LockLostError, match="lost"):
            leadership.check()

    assert manager.stats().lost_total == 0
    assert manager.stats().held == 0


async def test_a_leader_keeps_its_office_when_nobody_takes_it(manager, square):
    async with manager.election("boss", "me").campaign() as leadership:
        with pytest.raises(LockNotGranted, match="cannot lead"):
            await leadership.transfer("you")
        leadership.check()
        square.line.add("you")
        await leadership.transfer("you")
        assert leadership.valid_for() == 0.0


async def test_an_observer_without_a_leader_sees_none_and_hears_no_more_when_it_ends(
    manager, square
):
    observing = manager.election("boss").observe()

    assert await anext(observing) is None
    assert len(square.rings) == 1
    await observing.aclose()
    assert not square.rings
    assert await manager.election("boss").candidates() == ()
