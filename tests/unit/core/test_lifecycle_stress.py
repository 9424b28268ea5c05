"""Start, stop and cancellation in 200 random orders: no task is ever left.

Each order is drawn from its number, so a failure can be run again by it.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from quorate.core.lifecycle import Household, Tasks, to_the_end
from quorate.testing.clock import settle

ORDERS = 200


class Member:
    """Starts and stops in a random number of turns, has a role, and may fail."""

    name = "member"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._tasks = Tasks()
        self.is_open = False
        self.stops = 0

    async def tick(self) -> float:
        await settle(self._chance.randrange(3))
        if self._chance.random() < 0.3:
            raise OSError("one pass failed")
        return self._chance.choice((0.0, 0.001, 60.0))

    async def start(self) -> None:
        await settle(self._chance.randrange(4))
        self.is_open = True
        duty = self._tasks.employ(self)
        self._tasks.spawn(self._helper(), "helper")
        duty.wake()
        await settle(self._chance.randrange(4))
        if self._chance.random() < 0.15:
            raise OSError("did not start")

    async def stop(self) -> None:
        self.stops += 1
        await settle(self._chance.randrange(4))
        await to_the_end(self._tasks.close())
        self.is_open = False
        await settle(self._chance.randrange(4))
        if self._chance.random() < 0.15:
            raise OSError("did not stop well")

    async def _helper(self) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await settle(self._chance.randrange(4))


async def one_order(number: int, kind: type[Household] = Household) -> None:
    chance = random.Random(number)
    members = [Member(chance) for _ in range(chance.randrange(1, 5))]
    household = kind()
    actors: list[asyncio.Task[None]] = []

    async def live() -> None:
        try:
            await household.start(*members)
            await settle(chance.randrange(6))
        finally:
            await household.stop()

    actors.append(asyncio.create_task(live()))
    for _ in range(chance.randrange(8)):
        await settle(chance.randrange(5))
        match chance.randrange(3):
            case 0:
                actors.append(asyncio.create_task(household.stop()))
            case _:
                chance.choice(actors).cancel()
    await asyncio.gather(*actors, return_exceptions=True)

    assert not any(member.is_open for member in members), f"order {number}"
    assert all(member.stops <= 1 for member in members)


@pytest.mark.parametrize("batch", range(10))
async def test_no_order_of_start_stop_and_cancel_leaves_a_task(batch: int) -> None:
    for number in range(batch, ORDERS, 10):
        async with asyncio.timeout(5):
            await one_order(number)

        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set(), f"order {number} left {left}"


class ForgetsTheOthers(Household):
    """A cancellation while one member stops leaves the others open."""

    async def _stop_all(self) -> list[Exception]:
        errors: list[Exception] = []
        while self._open:
            try:
                await to_the_end(self._open.pop().stop())
            except OSError as error:
                errors.append(error)
        return errors


async def test_a_household_that_forgets_is_found_out() -> None:
    with pytest.raises(AssertionError, match="order"):
        for number in range(ORDERS):
            await one_order(number, ForgetsTheOthers)
