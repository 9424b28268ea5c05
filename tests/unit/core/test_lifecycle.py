"""What runs in the background: roles, tasks, and opening and closing in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quorate.core import lifecycle
from quorate.core.lifecycle import (
    LONGEST_REST_S,
    Household,
    RoleFailed,
    TaskCrashed,
    Tasks,
    running,
    to_the_end,
)
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard

FOREVER_S = 3600.0


class Counter:
    """A role that counts its passes and does what it is told in them."""

    name = "counter"

    def __init__(
        self, act: Callable[[int], Awaitable[None]] | None = None, rest_s: float = 0.0
    ) -> None:
        self.passes = 0
        self.rest_s = rest_s
        self._act = act
        self._bell = asyncio.Event()

    async def tick(self) -> float:
        self.passes += 1
        self._bell.set()
        if self._act is not None:
            await self._act(self.passes)
        return self.rest_s

    async def reaches(self, passes: int) -> None:
        async with asyncio.timeout(2):
            while self.passes < passes:
                self._bell.clear()
                await self._bell.wait()


@pytest.fixture
async def tasks(heard: Heard) -> Any:
    tasks = Tasks(heard.emit)
    yield tasks
    await tasks.close()


async def test_a_role_ticks_until_its_owner_closes(tasks: Tasks) -> None:
    role = Counter()
    tasks.employ(role)
    await role.reaches(5)

    await tasks.close()
    passes = role.passes
    await settle()

    assert role.passes == passes
    assert len(tasks) == 0


async def test_a_role_rests_as_long_as_it_said(tasks: Tasks) -> None:
    role = Counter(rest_s=0.05)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    tasks.employ(role)

    await role.reaches(4)

    assert loop.time() - begun >= 0.14


async def test_waking_ends_a_rest_and_is_never_lost(tasks: Tasks) -> None:
    duties: list[lifecycle.Duty] = []

    async def wake_oneself(passes: int) -> None:
        if passes == 2:
            duties[0].wake()

    role = Counter(wake_oneself, rest_s=FOREVER_S)
    duties.append(tasks.employ(role))
    await role.reaches(1)
    await settle()

    duties[0].wake()

    await role.reaches(3)


async def test_a_thousand_wakings_are_one(tasks: Tasks) -> None:
    role = Counter(rest_s=FOREVER_S)
    duty = tasks.employ(role)
    await role.reaches(1)
    await settle()

    for _ in range(1000):
        duty.wake()
    await settle(30)

    assert role.passes <= 3


async def test_a_failed_pass_is_told_and_the_role_goes_on(
    tasks: Tasks, heard: Heard
) -> None:
    async def fail_twice(passes: int) -> None:
        if passes <= 2:
            raise OSError("no luck")

    role = Counter(fail_twice, rest_s=FOREVER_S)
    tasks.employ(role)

    first, second = await heard(RoleFailed), await heard(RoleFailed)
    await role.reaches(3)

    assert (first.role, first.error) == ("counter", "OSError: no luck")
    assert (first.failures, second.failures) == (1, 2)
    assert second.rest_s == 2 * first.rest_s


async def test_a_role_outlives_any_number_of_failures(
    tasks: Tasks, heard: Heard
) -> None:
    """0.1 · 2**1100 is beyond any float: after an outage of hours that matters."""

    async def fail(passes: int) -> None:
        duties[0].wake()
        if passes <= 1100:
            raise OSError

    duties: list[lifecycle.Duty] = []
    role = Counter(fail, rest_s=FOREVER_S)
    duties.append(tasks.employ(role))

    async with asyncio.timeout(10):
        await role.reaches(1101)

    assert heard.count(TaskCrashed) == 0
    assert heard.all(RoleFailed)[-1].rest_s == LONGEST_REST_S


async def test_a_cancellation_that_a_pass_swallows_is_heeded(tasks: Tasks) -> None:
    async def swallow(passes: int) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FOREVER_S)

    role = Counter(swallow)
    tasks.employ(role)
    await role.reaches(1)

    async with asyncio.timeout(1):
        await tasks.close()


async def test_a_crash_is_told_once_and_never_after_closing(
    tasks: Tasks, heard: Heard
) -> None:
    gate = asyncio.Event()

    async def crash(*, late: bool) -> None:
        if late:
            try:
                await gate.wait()
            finally:
                raise KeyError("late")
        raise KeyError("a")

    tasks.spawn(crash(late=False), "crasher")
    crashed = await heard(TaskCrashed)
    tasks.spawn(crash(late=True), "late crasher")
    await settle()
    await tasks.close()

    assert (crashed.task, crashed.error) == ("crasher", "KeyError: 'a'")
    assert heard.count(TaskCrashed) == 1


async def test_nothing_is_spawned_after_closing(tasks: Tasks) -> None:
    ran = []

    async def work() -> None:
        ran.append(True)

    await tasks.close()
    await tasks.close()

    with pytest.raises(RuntimeError, match="its owner is closed"):
        tasks.spawn(work(), "late")
    await settle()
    assert ran == []


async def test_closing_waits_until_all_have_cleaned_up(tasks: Tasks) -> None:
    cleaned: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            await settle(number)
            cleaned.append(number)

    for number in range(5):
        tasks.spawn(work(number), f"work {number}")
    await settle()

    await tasks.close()

    assert sorted(cleaned) == [0, 1, 2, 3, 4]


async def test_what_is_spawned_while_closing_is_refused(tasks: Tasks) -> None:
    refused = []

    async def breed() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            try:
                tasks.spawn(asyncio.sleep(FOREVER_S), "child")
            except RuntimeError as error:
                refused.append(error)

    tasks.spawn(breed(), "breeder")
    await settle()
    await tasks.close()

    assert len(refused) == 1
    assert len(tasks) == 0


@pytest.mark.parametrize("through", ["directly", "to the end", "a household", "twice"])
async def test_a_task_may_close_its_own_owner(tasks: Tasks, through: str) -> None:
    done = asyncio.Event()

    class Owner:
        async def start(self) -> None:
            pass

        async def stop(self) -> None:
            await tasks.close()

    async def suicide() -> None:
        if through == "directly":
            await tasks.close()
        elif through == "to the end":
            await to_the_end(tasks.close())
        elif through == "a household":
            household = Household()
            await household.start(Owner())
            await household.stop()
        else:
            await to_the_end(to_the_end(tasks.close()))
        done.set()

    tasks.spawn(asyncio.sleep(FOREVER_S), "other")
    tasks.spawn(suicide(), "suicide")

    async with asyncio.timeout(1):
        await done.wait()
    await settle()
    assert len(tasks) == 0


async def test_draining_waits_and_cancels_nobody(tasks: Tasks) -> None:
    gate = asyncio.Event()
    tasks.spawn(gate.wait(), "waiter")

    assert await tasks.drain(0.01) is False
    gate.set()
    assert await tasks.drain(1) is True
    assert await tasks.drain(0) is True


async def test_a_result_is_the_tasks(tasks: Tasks) -> None:
    async def answer() -> int:
        return 42

    assert await tasks.spawn(answer(), "answer") == 42


async def test_a_duty_sleeps_on_the_clock_only_to_give_a_turn() -> None:
    clock = ManualClock()
    duty = lifecycle.Duty(Counter())

    duty.wake()
    await duty.rest(clock, FOREVER_S)
    await duty.rest(clock, -1)

    assert clock.sleepers == 0


# to_the_end


async def test_to_the_end_gives_the_result_or_the_error() -> None:
    async def work(error: Exception | None) -> str:
        await settle()
        if error:
            raise error
        return "done"

    assert await to_the_end(work(None)) == "done"
    with pytest.raises(KeyError):
        await to_the_end(work(KeyError()))


@pytest.mark.parametrize("cancels", [1, 2, 5])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_waits_until_the_work_is_done(
    cancels: int, fails: bool
) -> None:
    gate, done = asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append(True)
        if fails:
            raise KeyError

    caller = asyncio.create_task(to_the_end(work()))
    await settle()
    for _ in range(cancels):
        caller.cancel()
        await settle()
    assert not caller.done()

    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == [True]


async def test_a_timeout_around_it_is_still_a_timeout() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await to_the_end(work())

    assert done == [True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_cancels_itself_passes_through() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await to_the_end(work())


async def test_a_cancellation_that_comes_with_the_last_breath_passes_through() -> None:
    async def work() -> str:
        caller.cancel()
        return "done"

    caller = asyncio.create_task(to_the_end(work()))

    with pytest.raises(asyncio.CancelledError):
        await caller


# Household


class Room:
    """A member that writes down what happens to it."""

    def __init__(self, name: str, log: list[str], *, ill: str = "") -> None:
        self.name = name
        self.log = log
        self.ill = ill
        self.gate: asyncio.Event | None = None

    async def start(self) -> None:
        self.log.append(f"+{self.name}")
        if self.gate is not None:
            await self.gate.wait()
        if "start" in self.ill:
            raise KeyError(self.name)

    async def stop(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.log.append(f"-{self.name}")
        if "stop" in self.ill:
            raise KeyError(self.name)
        if "cancelled" in self.ill:
            raise asyncio.CancelledError


def rooms(log: list[str], **ill: str) -> list[Room]:
    return [Room(name, log, ill=ill.get(name, "")) for name in "abc"]


async def test_what_is_started_in_order_is_stopped_in_reversed_order_once() -> None:
    log: list[str] = []
    household = Household()

    await household.start(*rooms(log))
    await asyncio.gather(household.stop(), household.stop())
    await household.stop()

    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_if_one_does_not_start_those_before_it_are_stopped() -> None:
    log: list[str] = []

    with pytest.raises(KeyError, match="b"):
        await Household().start(*rooms(log, b="start"))

    assert log == ["+a", "+b", "-b", "-a"]


async def test_an_error_while_stopping_stops_nobody_from_being_stopped() -> None:
    log: list[str] = []
    household = Household()
    await household.start(*rooms(log, c="stop", b="stop"))

    with pytest.raises(KeyError, match="c"):
        await household.stop()

    assert log[3:] == ["-c", "-b", "-a"]


async def test_a_member_that_ends_as_cancelled_keeps_nobody_from_being_stopped() -> (
    None
):
    log: list[str] = []
    household = Household()
    await household.start(*rooms(log, c="cancelled"))

    with pytest.raises(asyncio.CancelledError):
        await household.stop()

    assert log[3:] == ["-c", "-b", "-a"]


@pytest.mark.parametrize("cancels", [1, 2, 3, 4])
async def test_a_cancelled_stop_stops_all_the_same(cancels: int) -> None:
    log: list[str] = []
    members = rooms(log)
    household = Household()
    await household.start(*members)
    gate = asyncio.Event()
    for member in members:
        member.gate = gate
    stopping = asyncio.create_task(household.stop())
    await settle()

    for _ in range(cancels):
        stopping.cancel()
        await settle()
    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert log[3:] == ["-c", "-b", "-a"]


async def test_a_start_cancelled_again_and_again_leaves_nothing_open() -> None:
    log: list[str] = []
    members = rooms(log)
    gate = members[1].gate = asyncio.Event()

    async def block() -> None:
        async with running(*members):
            log.append("never")

    starting = asyncio.create_task(block())
    await settle()
    for _ in range(4):
        starting.cancel()
        await settle()
    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await starting
    assert log == ["+a", "+b", "-b", "-a"]


async def test_members_may_come_later() -> None:
    log: list[str] = []
    household = Household()
    for member in rooms(log):
        await household.start(member)

    await household.stop()

    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_running_is_open_for_the_length_of_the_block() -> None:
    log: list[str] = []

    with pytest.raises(ZeroDivisionError):
        async with running(*rooms(log)):
            log.append("block")
            raise ZeroDivisionError

    assert log == ["+a", "+b", "+c", "block", "-c", "-b", "-a"]


async def test_nothing_waits_for_the_end_of_what_has_ended() -> None:
    async def work() -> None:
        await settle(2)

    gc.collect()
    before = len(lifecycle._sent_by)
    for _ in range(50):
        await to_the_end(work())
    gc.collect()

    assert len(lifecycle._sent_by) <= before + 1
