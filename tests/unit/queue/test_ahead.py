"""Claims ahead of free places: by how many, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest

from quorate.queue import ahead
from quorate.queue.ahead import (
    LONGEST_S,
    MOST_AHEAD,
    STALE_S,
    TURNS,
    Anteroom,
    Pace,
)
from quorate.queue.lanes import Slots
from quorate.queue.model import Lease, MoveKind
from quorate.queue.ports import Finished


class TestPace:
    def test_what_ends_during_an_exchange_is_counted_on(self) -> None:
        pace = Pace()

        for number in range(100):
            pace.note(number * 0.01, 100, 0.002)

        assert pace.ahead(1.0) == pytest.approx(TURNS * 20, abs=1)

    def test_slow_tasks_are_not_claimed_ahead(self) -> None:
        pace = Pace()

        for number in range(100):
            pace.note(number * 1.0, 5, 0.002)

        assert pace.ahead(99.01) == 0

    def test_after_a_pause_nobody_knows(self) -> None:
        pace = Pace()
        for number in range(100):
            pace.note(number * 0.01, 100, 0.002)

        assert pace.ahead(1.0 + 2 * STALE_S) == 0

    def test_it_is_bounded_however_slow_the_answers_are(self) -> None:
        pace = Pace()

        for number in range(100):
            pace.note(number * 0.1, 100_000, 10.0)

        assert pace.ahead(9.9) == MOST_AHEAD
        assert LONGEST_S < 0.1

    def test_the_quickest_answer_of_late_counts(self) -> None:
        pace = Pace()
        for number in range(100):
            pace.note(number * 0.01, 100, 0.001)

        pace.note(1.0, 100, 0.02)

        assert pace.ahead(1.0) == pytest.approx(TURNS * 10, abs=1)


class Room:
    """Places, and what was done with the tasks."""

    def __init__(self) -> None:
        self.slots = Slots(0, 0)
        self.begun: list[str] = []
        self.finished: list[Finished] = []
        self.anteroom = Anteroom(lambda: self.slots, self._admit, self.finished.append)

    def _admit(self, lease: Lease) -> None:
        self.begun.append(lease.id)
        total = self.slots.total - 1
        self.slots = Slots(total, min(total, self.slots.others - bool(lease.lane)))

    def comes(self, task_id: str, lane: int = 1, session: str = "p.1") -> None:
        self.anteroom.receive([Lease(task_id, session, 5, lane, b"")])

    @property
    def given_back(self) -> list[str]:
        assert {finished.move.kind for finished in self.finished} <= {MoveKind.BACK}
        return [finished.lease.id for finished in self.finished]


@pytest.fixture
async def room():
    room = Room()
    yield room
    room.anteroom.close()


async def test_where_there_is_a_place_a_task_begins(room: Room) -> None:
    room.slots = Slots(2, 1)

    room.comes("a")
    room.comes("b")
    room.comes("urgent", lane=0)

    assert room.begun == ["a", "urgent"]
    assert room.anteroom.ids == ("b",)
    assert (len(room.anteroom), room.anteroom.urgent) == (1, 0)


async def test_the_most_urgent_is_next_and_first_come_first_served(room: Room) -> None:
    for task_id, lane in (("low", 2), ("a", 1), ("b", 1), ("high", 0)):
        room.comes(task_id, lane)

    room.slots = Slots(3, 2)
    room.anteroom.next()

    assert room.begun == ["high", "a", "b"]
    assert room.anteroom.ids == ("low",)


async def test_places_that_are_kept_for_urgent_ones_stay_free(room: Room) -> None:
    room.comes("a")

    room.slots = Slots(1, 0)
    room.anteroom.next()

    assert room.begun == []


async def test_who_waits_too_long_tries_elsewhere(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "WAITS_AT_MOST_S", 0.01)
    room.comes("a")

    async with asyncio.timeout(2):
        while not room.finished:
            await asyncio.sleep(0)

    assert room.given_back == ["a"]
    assert not len(room.anteroom)


async def test_who_drains_gives_all_of_them_back(room: Room) -> None:
    for task_id in ("a", "b"):
        room.comes(task_id)

    room.anteroom.release()

    assert room.given_back == ["a", "b"]


async def test_what_a_lost_session_had_claimed_is_forgotten(room: Room) -> None:
    room.comes("old")
    room.comes("new", session="p.2")

    room.anteroom.forget("p.1")

    assert room.anteroom.ids == ("new",)
    assert room.finished == []


async def test_one_can_be_taken_out(room: Room) -> None:
    room.comes("a")

    taken = room.anteroom.remove("a")

    assert taken is not None
    assert room.anteroom.remove("a") is None
    assert len(room.anteroom) == 0


async def test_one_that_ends_at_once_makes_room_for_the_next(room: Room) -> None:
    for number in range(500):
        room.comes(str(number))
    room._admit = lambda _: room.anteroom.next()  # type: ignore[method-assign]
    room.anteroom._admit = room._admit

    room.slots = Slots(1, 1)
    room.anteroom.next()

    assert len(room.anteroom) == 0
