"""How the tasks of one process share a lock, and what a cancelled one leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.unit.locks.line import Line, a_manager, a_session, membership, turns, until

from quorate.core.errors import (
    LockNotGranted,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from quorate.locks.answers import (
    Granted,
    GrantNotice,
    LookNotice,
    LossNotice,
    ResyncNotice,
)
from quorate.locks.events import LockDenied, LockReturnDelayed, LockWaitLong
from quorate.locks.lock import Grant
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.testing.clock import ManualClock

Work = Callable[[], Awaitable[None]]


async def passes_through(manager: LockManager, name: str, seen: list[object]) -> None:
    async with manager.acquire_lock(name) as grant:
        seen.append(grant.token)
        await asyncio.sleep(0)


class Stay:
    """A task that stays inside a lock until it is told to leave."""

    def __init__(self, manager: LockManager, name: str = "a", **terms) -> None:
        self._entered, self._may_leave = asyncio.Event(), asyncio.Event()
        self.grant: Grant | None = None
        self.task = asyncio.ensure_future(self._work(manager, name, terms))

    async def _work(self, manager: LockManager, name: str, terms) -> None:
        async with manager.acquire_lock(name, **terms) as self.grant:
            self._entered.set()
            await self._may_leave.wait()

    async def entered(self) -> Grant:
        """Wait until it is inside; an error on the way is raised here."""
        entered = asyncio.ensure_future(self._entered.wait())
        async with asyncio.timeout(5):
            await asyncio.wait(
                {entered, self.task}, return_when=asyncio.FIRST_COMPLETED
            )
        entered.cancel()
        if self.grant is None:
            await self.task
        assert self.grant is not None
        return self.grant

    async def leaves(self) -> None:
        self._may_leave.set()
        await self.task


async def holding(manager: LockManager, name: str = "a", **terms) -> Stay:
    stay = Stay(manager, name, **terms)
    await stay.entered()
    return stay


async def test_taking_and_giving_back_costs_one_request_each(manager, line):
    async with manager.acquire_lock("a"):
        assert line.calls == [("acquire", "me:1")]

    assert line.calls == [("acquire", "me:1"), ("leave", "me:1")]


async def test_tasks_hand_a_lock_on_without_the_server_and_tokens_grow(manager, line):
    seen = []

    await asyncio.gather(*(passes_through(manager, "a", seen) for _ in range(20)))

    assert seen == list(range(1001, 1021))
    assert len(line.calls) == 2
    stats = manager.stats()
    assert (stats.acquired_total, stats.passed_total) == (20, 19)
    assert stats.contended_total == 19
    assert (stats.held, stats.waiting) == (0, 0)


async def test_a_block_of_tokens_is_never_exceeded(manager, line):
    seen = []

    await asyncio.gather(*(passes_through(manager, "a", seen) for _ in range(70)))

    assert seen == sorted(set(seen))
    assert line.count("acquire") == 3
    assert seen[31:33] == [1032, 1033]


async def test_a_lock_is_not_passed_around_for_long(line, clock):
    seen = []

    async def slow(manager: LockManager) -> None:
        async with manager.acquire_lock("a") as grant:
            seen.append(grant.token)
            await clock.advance(0.02)

    async with a_manager(line, config=LockConfig(passing_s=0.05)) as manager:
        await asyncio.gather(*(slow(manager) for _ in range(7)))

    assert line.count("acquire") == 3
    assert seen == [1001, 1002, 1003, 1033, 1034, 1035, 1065]


async def test_other_processes_have_their_turn_after_a_block(manager, line):
    seen = []
    stay = await holding(manager)
    line.lines["a"].append("else")

    rest = [
        asyncio.ensure_future(passes_through(manager, "a", seen)) for _ in range(40)
    ]
    stay._may_leave.set()
    await until(lambda: line.held.get("a") == "else")
    assert len(seen) == 31
    line.free("a")
    await asyncio.gather(stay.task, *rest)

    assert len(seen) == 40


async def test_the_line_of_a_process_is_first_come_first_served(manager):
    order = []
    stay = await holding(manager)

    async def waits(number: int) -> None:
        async with manager.acquire_lock("a"):
            order.append(number)

    rest = []
    for number in range(10):
        rest.append(asyncio.ensure_future(waits(number)))
        await asyncio.sleep(0)
    stay._may_leave.set()
    await asyncio.gather(stay.task, *rest)

    assert order == list(range(10))


async def test_a_waiter_is_granted_by_the_news(manager, line):
    line.seize("a")
    waiting = Stay(manager)
    await turns()
    assert line.count("acquire") == 1

    line.free("a")

    grant = await waiting.entered()
    assert grant.token == line.last - 31
    assert line.count("acquire") == 1
    await waiting.leaves()


async def test_news_that_overtake_the_answer_are_not_lost(manager, line):
    line.seize("a")
    stepped = line._stepped

    async def overtaken(call: str) -> None:
        line._stepped = stepped
        line.free("a")
        await stepped(call)

    line._stepped = overtaken

    stay = await holding(manager)

    await stay.leaves()
    assert line.count("acquire") == 1


async def test_an_attempt_that_does_not_wait_is_refused_at_once(manager, line, heard):
    line.seize("a")

    with pytest.raises(LockNotGranted, match=r"held by work in else\.1"):
        async with manager.acquire_lock("a", wait_s=0, label="mine"):
            pass

    assert not line.lines["a"]
    denied = await heard(LockDenied, lock="a", label="mine")
    assert "else.1" in denied.held_by


async def test_an_attempt_that_does_not_wait_asks_nobody_if_it_is_held_here(
    manager, line
):
    stay = await holding(manager, label="here")

    for owner in ("", "somebody else"):
        with pytest.raises(LockNotGranted, match="held by here"):
            async with manager.acquire_lock("a", wait_s=0, owner=owner):
                pass

    assert line.count("acquire") == 1
    await stay.leaves()


async def test_a_wait_that_is_over_may_leaves_the_line(manager, line, heard):
    line.seize("a")

    with pytest.raises(LockNotGranted, match=r"within 0\.02 s") as found:
        async with manager.acquire_lock("a", wait_s=0.02):
            pass

    await turns()
    assert not line.lines["a"]
    assert "held by work in else.1" in found.value.why
    assert heard.count(LockDenied) == 1
    assert manager.stats().denied_total == 1


async def test_who_leads_hands_its_place_on_when_it_gives_up(manager, line):
    line.seize("a")
    first = Stay(manager)
    await turns()
    second = Stay(manager)
    await turns()
    line.lines["a"].append("late")

    first.task.cancel()
    await turns()
    line.free("a")

    await second.entered()
    assert line.held["a"] == "me:1"
    assert line.count("leave") == 0
    await second.leaves()


async def test_who_stands_behind_leads_when_the_first_ask_fails(manager, line):
    line.fail("acquire", StoreUnavailable("away"), before=True)
    first = Stay(manager)
    second = Stay(manager)

    with pytest.raises(StoreUnavailable):
        await first.entered()
    stay = second
    await stay.entered()

    await stay.leaves()
    assert line.is_empty()
    assert line.count("leave") == 1


async def test_an_ask_without_an_outcome_is_withdrawn(manager, line):
    line.fail("acquire", OutcomeUnknown("silence"), before=False)

    with pytest.raises(OutcomeUnknown):
        async with manager.acquire_lock("a"):
            pass

    await turns()
    assert line.is_empty()
    assert line.given_up == {"me:1"}


async def test_an_ask_that_was_never_sent_is_not_withdrawn(manager, line):
    line.fail("acquire", StoreUnavailable("away"), before=True)

    with pytest.raises(StoreUnavailable):
        async with manager.acquire_lock("a"):
            pass

    await turns()
    assert line.count("leave") == 0


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("silence")])
async def test_a_return_that_fails_is_repeated_until_it_is_done(
    manager, line, heard, error
):
    async with manager.acquire_lock("a"):
        line.fail("leave", error, before=isinstance(error, StoreUnavailable))

    await heard(LockReturnDelayed, lock="a")
    await until(lambda: line.is_empty() and line.count("leave") == 2)


async def test_a_return_is_not_repeated_when_the_session_is_over(manager, line):
    async with manager.acquire_lock("a"):
        line.fail("leave", StoreRefused("no memory"), before=True)
    line.fail("leave", StoreUnavailable("still away"), before=True)
    line.session.lost(membership(line.session), "gone")
    await turns()
    before = line.count("leave")

    assert manager._returns is not None
    await manager._returns.tick()

    assert line.count("leave") == before


async def test_a_lock_that_the_server_had_ended_is_told_at_the_end(manager, line):
    from quorate.core.errors import LockLostError

    with pytest.raises(LockLostError, match="lost"):
        async with manager.acquire_lock("a"):
            line.seize("a")

    assert manager.stats().lost_total == 1


async def test_a_cancelled_return_still_returns(manager, line):
    entered = asyncio.Event()

    async def work() -> None:
        async with manager.acquire_lock("a"):
            entered.set()

    task = asyncio.ensure_future(work())
    await entered.wait()
    assert line.count("leave") == 1 or not task.done()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert line.is_empty()


async def test_when_the_session_is_lost_waiters_stand_in_line_anew(manager, line):
    line.seize("a")
    waiting = Stay(manager)
    await turns()

    line.session.lost(membership(line.session), "gone")
    line.lines["a"].clear()
    await turns()
    line.free("a")

    grant = await waiting.entered()
    assert grant.fence.session == "me.2"
    await waiting.leaves()


async def test_who_was_handed_a_lock_that_is_lost_by_then_asks_anew(manager, line):
    stay = await holding(manager)
    following = Stay(manager)
    await turns()

    stay._may_leave.set()
    await asyncio.sleep(0)  # handed on, and not yet taken
    line.session.lost(membership(line.session), "gone")
    line.held.clear()
    await stay.task

    grant = await following.entered()
    assert grant.fence.session == "me.2"
    await following.leaves()
    assert line.is_empty()


async def test_a_grant_that_nobody_here_asked_for_is_given_back(manager, line):
    await passes_through(manager, "b", [])
    line.held["a"] = "me:77"

    line.tell(GrantNotice("a", "me:77", 5, 36, 0.0))

    await turns()
    assert line.is_empty()


async def test_a_grant_told_twice_is_one_grant(manager, line):
    stay = await holding(manager)

    line.tell(GrantNotice("a", "me:1", 1001, 1032, 0.0))
    await turns()

    assert line.held == {"a": "me:1"}
    await stay.leaves()


async def test_a_hold_that_the_server_ended_stops_its_block(manager, line):
    stay = await holding(manager)

    line.tell(LossNotice("a", "me:1"))

    with pytest.raises(Exception, match="the server ended it"):
        await stay.task


async def test_after_missed_news_every_waiter_asks_again(manager, line):
    line.seize("a")
    waiting = Stay(manager)
    await turns()
    line.deaf = True
    line.free("a")
    line.deaf = False

    line.tell(ResyncNotice())

    await waiting.entered()
    assert line.count("acquire") == 2
    await waiting.leaves()


async def test_a_waiter_asks_again_when_it_is_told_to(manager, line, clock):
    line.seize("a")
    waiting = Stay(manager)
    await turns()
    line.deaf = True
    line.free("a")
    line.deaf = False
    clock._move_to(clock.monotonic() + 1.0)

    line.tell(LookNotice("a", "me:1", -1.0))

    await waiting.entered()
    await waiting.leaves()


async def test_a_waiter_whose_look_fails_looks_again(manager, line):
    line.seize("a")
    waiting = Stay(manager)
    await turns()
    line.deaf = True
    line.free("a")
    line.deaf = False
    line.fail("acquire", StoreUnavailable("away"), before=True)

    line.tell(ResyncNotice())
    await turns()
    line.tell(ResyncNotice())

    await waiting.entered()
    await waiting.leaves()


async def test_a_long_wait_is_told_once(line, clock, heard):
    config = LockConfig(long_wait_s=0.0)
    line.seize("a")
    async with a_manager(line, config=config, emit=heard.emit) as manager:
        waiting = Stay(manager, label="mine")

        told = await heard(LockWaitLong, lock="a", label="mine")
        line.tell(ResyncNotice())
        await turns()
        line.free("a")

        await waiting.entered()
        await waiting.leaves()
    assert "else.1" in told.held_by
    assert heard.count(LockWaitLong) == 1


async def test_who_is_ready_to_wait_for_an_hour_makes_no_news_of_it(line, heard):
    config = LockConfig(long_wait_s=0.0)
    line.seize("a")
    async with a_manager(line, config=config, emit=heard.emit) as manager:
        waiting = Stay(manager, wait_s=3600.0)

        line.tell(ResyncNotice())
        await turns()
        line.free("a")

        await waiting.entered()
        await waiting.leaves()
    assert heard.count(LockWaitLong) == 0


async def test_a_hold_that_ends_by_itself_is_not_passed_on(manager, line):
    stay = await holding(manager, timeout_s=60)
    following = Stay(manager)
    third = Stay(manager, timeout_s=60)
    await turns()

    await stay.leaves()
    await following.entered()
    await following.leaves()
    await third.entered()
    await third.leaves()

    assert line.count("acquire") == 3
    assert manager.stats().passed_total == 0


async def test_a_grant_that_is_over_before_it_can_be_used_is_refused(line):
    """The server answers so late that nothing of the hold is left."""
    stepped = line._stepped

    async def late(call: str) -> None:
        clock = line.session.clock
        assert isinstance(clock, ManualClock)
        if call == "acquire":
            clock._move_to(clock.monotonic() + 1.0)
        await stepped(call)

    line._stepped = late
    async with a_manager(line) as manager:
        with pytest.raises(LockNotGranted, match="over before it could be used"):
            async with manager.acquire_lock("a", timeout_s=0.5):
                pass
        await turns()
        assert line.is_empty()


async def test_readers_do_not_stand_behind_the_tasks_of_their_process(manager, line):
    stay = await holding(manager)

    reader = Stay(manager, lock_type=LockType.SHARED)
    await turns()

    assert line.asks["me:2"].shared
    await stay.leaves()
    await reader.entered()
    await reader.leaves()
    assert line.is_empty()


async def test_a_reader_that_gives_up_may_leaves_the_line(manager, line):
    line.seize("a")
    reader = Stay(manager, lock_type=LockType.SHARED)
    await turns()

    reader.task.cancel()
    await turns()

    assert not line.lines["a"]


async def test_what_is_held_is_known_from_memory(manager, clock):
    stay = await holding(manager, label="report")
    await clock.advance(2.0)

    (fact,) = manager.holders()

    assert (fact.name, fact.label, fact.token) == ("a", "report", stay.grant.token)
    assert fact.held_s == 2.0
    assert fact.owner.startswith("task-")
    await stay.leaves()
    assert manager.holders() == []
    assert manager.stats().hold_s_total == 2.0


async def test_a_process_that_holds_for_long_stands_in_line_again_for_its_tasks(
    line, clock
):
    async with a_manager(line, config=LockConfig(passing_s=0.0)) as manager:
        stay = await holding(manager)
        following = Stay(manager)
        await until(lambda: bool(line.lines["a"]))
        line.lines["a"].append("else")

        await stay.leaves()
        await following.entered()

        assert line.held == {"a": "me:2"}
        assert line.count("acquire") == 2
        await following.leaves()
        assert line.held == {"a": "else"}


async def test_a_place_that_was_taken_ahead_is_given_up_when_nobody_needs_it(line):
    async with a_manager(line, config=LockConfig(passing_s=0.0)) as manager:
        stay = await holding(manager)
        following = Stay(manager)
        await until(lambda: bool(line.lines["a"]))

        following.task.cancel()
        await turns()

        assert not line.lines["a"]
        await stay.leaves()
        assert line.is_empty()


async def test_a_place_on_its_way_is_given_up_when_the_lock_comes_back_first(line):
    async with a_manager(line, config=LockConfig(passing_s=0.0)) as manager:
        stay = await holding(manager)
        following = Stay(manager)
        await until(lambda: line.count("acquire") == 2)

        await stay.leaves()
        await following.entered()

        assert line.count("acquire") == 3
        await following.leaves()
        await turns()
        assert line.is_empty()


async def test_a_place_ahead_that_the_server_refuses_harms_nobody(line):
    async with a_manager(line, config=LockConfig(passing_s=0.0)) as manager:
        stay = await holding(manager)
        line.fail("acquire", StoreUnavailable("away"), before=True)
        following = Stay(manager)
        await until(lambda: not line.faults)

        await stay.leaves()
        await following.entered()
        await following.leaves()


async def test_a_place_ahead_is_only_for_who_wants_the_same(line):
    async with a_manager(line, config=LockConfig(passing_s=0.0)) as manager:
        stay = await holding(manager)
        short = Stay(manager, timeout_s=60.0)
        following = Stay(manager)
        await until(lambda: bool(line.lines["a"]))
        short.task.cancel()
        await turns()

        await stay.leaves()
        await following.entered()

        assert line.asks[line.held["a"]].hard_s == 0.0
        await following.leaves()
        await turns()
        assert line.is_empty()


async def test_who_leaves_the_line_of_a_process_is_forgotten(manager):
    stay = await holding(manager)
    gate = manager._open_desk()._lines._gates["a"]
    following = Stay(manager)
    await turns()

    for _ in range(10):
        with pytest.raises(LockNotGranted):
            async with manager.acquire_lock("a", wait_s=0.001):
                pass

    assert len(gate.line) == 1
    await stay.leaves()
    await following.entered()
    await following.leaves()


async def test_a_lock_that_expires_on_its_way_to_the_next_task_is_given_back(
    manager, line, clock
):
    stay = await holding(manager)
    following = Stay(manager)
    await turns()

    stay._may_leave.set()
    await asyncio.sleep(0)  # handed on, and not yet taken
    clock._move_to(clock.monotonic() + 60.0)  # the loop stands still
    await stay.task

    grant = await following.entered()
    assert grant.fence.session == "me.2"
    await turns()
    assert line.held == {"a": "me:2"}
    await following.leaves()


async def test_a_lock_lost_on_its_way_to_one_that_is_cancelled_passes_it_by(
    manager, line
):
    stay = await holding(manager)
    cancelled, following = Stay(manager), Stay(manager)
    await turns()

    stay._may_leave.set()
    await asyncio.sleep(0)  # handed on, and not yet taken
    line.session.lost(membership(line.session), "gone")
    line.held.clear()
    cancelled.task.cancel()
    await stay.task

    await following.entered()
    await following.leaves()
    assert line.is_empty()


async def test_a_claim_that_was_asked_for_twice_is_given_back_for_good(manager, line):
    acquire = line.acquire

    async def twice(ask):
        answer = await acquire(ask)
        if isinstance(answer, Granted):
            return answer._replace(echo=True)
        return replace(answer, echo=True)

    line.acquire = twice
    async with manager.acquire_lock("a"):
        pass
    line.seize("b")
    waiting = Stay(manager, "b")
    await turns()
    line.free("b")
    await waiting.entered()
    await waiting.leaves()

    assert line.given_up == {"me:1", "me:2"}


async def test_a_lock_that_came_back_in_time_is_not_ended_again(manager):
    async with manager.acquire_lock("a", timeout_s=60.0):
        (hold,) = manager._open_desk().holdings.all()
        assert hold.timer is not None

    assert hold.timer.cancelled()


@pytest.mark.parametrize("others", [0, 1, 3])
@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("position", [0, 1])
async def test_a_cancellation_at_any_point_leaves_nothing_behind(
    others, taken, position
):
    turn = 0
    while await cancelled_at(turn, others, position, free_at=6 if taken else None):
        turn += 1

    assert turn >= 4


async def cancelled_at(
    turn: int, others: int, position: int, *, free_at: int | None
) -> bool:
    """Cancel one of several at this turn of the loop. False when it was over by then.

    `free_at`: somebody else holds the lock until that turn.
    """
    line = Line(a_session(ManualClock()))
    seen: list[object] = []
    async with a_manager(line) as manager:
        if free_at is not None:
            line.seize("a")
        tasks = [
            asyncio.ensure_future(passes_through(manager, "a", seen))
            for _ in range(others + 1)
        ]
        victim = tasks[min(position, others)]
        for passed in range(max(turn, free_at or 0) + 1):
            if passed == turn:
                was_over = victim.done()
                victim.cancel()
            if passed == free_at:
                line.free("a")
            await asyncio.sleep(0)

        async with asyncio.timeout(5):
            ended = await asyncio.gather(*tasks, return_exceptions=True)

        await turns()
        errors = [error for error in ended if error is not None]
        assert line.is_empty(), f"left behind when cancelled at turn {turn}"
        assert victim.cancelled() is not was_over
        assert len(errors) == (0 if was_over else 1)
        assert seen == sorted(set(seen))
        assert len(seen) >= others
        assert (manager.stats().waiting, manager.stats().held) == (0, 0)
    return not was_over
