"""After a doubt: what the server has forgotten is told, what nobody knows goes back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.locks.line import TAG, Line, a_manager, a_session, turns, until

from quorate.core.errors import (
    LockLostError,
    MissingCapability,
    SessionLostError,
    StoreUnavailable,
)
from quorate.lease.events import SessionLost
from quorate.locks.answers import Held, ResyncNotice, Roll
from quorate.locks.events import LocksReasserted
from quorate.locks.model import LockConfig
from quorate.locks.roll_call import AGAIN_S, IDLE_S, LOOKS_S, STRAY_S
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard


class Forgetful(Line):
    """A line whose server may be another one, with what that knows."""

    run = "first"
    forgotten = False
    is_alive = True
    refuses = False
    strays: dict[str, str]
    asked: list[str]
    told: list[Held]
    strict_s = 0.0

    async def roll(self, tag: str, session: str, known: str) -> Roll:
        assert tag == TAG
        await self._step("roll", known)
        await self._stepped("roll")
        if known == self.run:
            return Roll(self.run, is_as_known=True, is_alive=True, claims={})
        claims = {} if self.forgotten else {by: name for name, by in self.held.items()}
        return Roll(self.run, False, self.is_alive, claims | self.strays)

    async def reassert(
        self, tag: str, session: str, held: Sequence[Held]
    ) -> list[bool]:
        self.told += held
        self.forgotten = False
        return [not self.refuses] * len(held)

    async def be_strict(self, ttl_s: float) -> None:
        self.strict_s = ttl_s


@pytest.fixture
def line(clock: ManualClock) -> Forgetful:
    line = Forgetful(a_session(clock))
    line.strays, line.told = {}, []
    return line


async def looked(line: Line, times: int) -> None:
    await until(lambda: line.count("roll") >= times)


async def test_in_peace_nobody_asks(line: Forgetful, clock: ManualClock):
    async with a_manager(line) as manager, manager.acquire_lock("a"):
        await clock.advance(9.0)
        assert await manager._roll_call.tick() == IDLE_S  # type: ignore[union-attr]

    assert line.count("roll") == 0


async def test_what_another_server_does_not_know_is_told_to_it(
    line: Forgetful, heard: Heard
):
    async with (
        a_manager(line, emit=heard.emit) as manager,
        manager.acquire_lock("a", label="work", timeout_s=9.0) as grant,
    ):
        line.run, line.forgotten = "second", True
        line.tell(ResyncNotice())
        told = await heard(LocksReasserted)
        grant.check()

    [held] = line.told
    assert (told.told, told.lost) == (1, 0)
    assert (held.name, held.token, held.label) == ("a", grant.token, "work")
    assert 8.0 < held.hard_s <= 9.0
    assert not held.shared


async def test_what_it_does_not_take_up_is_lost_at_once(line: Forgetful, heard: Heard):
    async with a_manager(line, emit=heard.emit) as manager:
        with pytest.raises(LockLostError, match="did not know of it"):
            async with manager.acquire_lock("a", on_loss="flag") as grant:
                line.forgotten = line.refuses = True
                line.tell(ResyncNotice())
                await until(lambda: grant.is_lost)

        assert (await heard(LocksReasserted)).lost == 1
        assert line.count("leave") == 0


async def test_what_the_same_server_has_ended_is_lost_and_not_told(line: Forgetful):
    async with a_manager(line) as manager:
        with pytest.raises(LockLostError, match="the server had ended it"):
            async with manager.acquire_lock("a", on_loss="flag") as grant:
                line.tell(ResyncNotice())
                await until(lambda: bool(manager._roll_call._runs))  # type: ignore[union-attr]
                line.forgotten = True
                line.tell(ResyncNotice())
                await until(lambda: grant.is_lost)

    assert line.told == []


async def test_a_claim_that_nobody_here_knows_goes_back_after_a_while(
    line: Forgetful, clock: ManualClock
):
    async with a_manager(line) as manager, manager.acquire_lock("a"):
        line.strays = {"ghost": "b"}
        role = manager._roll_call
        assert role is not None
        role.doubt()
        now = clock.monotonic()
        for after_s in LOOKS_S:
            await clock.advance(now + after_s - clock.monotonic())
            assert line.count("leave") == 0
            await role.tick()
        await until(lambda: ("leave", "ghost") in line.calls)
        assert LOOKS_S[-2] < STRAY_S <= LOOKS_S[-1]


async def test_a_session_that_is_not_there_any_more_is_over(
    line: Forgetful, heard: Heard
):
    line.session._emit = heard.emit
    async with a_manager(line) as manager:
        with pytest.raises((LockLostError, SessionLostError)):
            async with manager.acquire_lock("a", on_loss="flag"):
                line.is_alive = False
                line.tell(ResyncNotice())
                await heard(SessionLost)


async def test_a_server_that_is_away_is_asked_again_soon(
    line: Forgetful, clock: ManualClock, heard: Heard
):
    async with a_manager(line, emit=heard.emit) as manager, manager.acquire_lock("a"):
        role = manager._roll_call
        assert role is not None
        line.forgotten = True
        line.fail("roll", StoreUnavailable("away"), before=True)
        role._looks.append(clock.monotonic())
        assert await role.tick() == AGAIN_S
        assert line.told == []

        await clock.advance(AGAIN_S)
        await role.tick()

        assert (await heard(LocksReasserted)).told == 1


async def test_who_is_strict_says_so_and_asks_at_every_renewal(line: Forgetful):
    config = LockConfig(strict=True)
    async with a_manager(line, config=config) as manager, manager.acquire_lock("a"):
        role = manager._roll_call
        assert role is not None
        await turns()
        line.calls.clear()
        rests_s = [await role.tick() for _ in range(2)]

    terms = line.session.terms
    assert line.strict_s == terms.ttl_s
    assert rests_s == [terms.renew_every_s] * 2
    assert [known for call, known in line.calls if call == "roll"][-1] == "first"


async def test_where_it_cannot_be_had_strict_is_refused(clock: ManualClock):
    manager = a_manager(Line(a_session(clock)), config=LockConfig(strict=True))

    with pytest.raises(MissingCapability, match="cannot be strict"):
        await manager.start()
    await manager.stop()
