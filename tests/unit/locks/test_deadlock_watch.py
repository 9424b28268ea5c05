"""The watch believes nobody's old notes: it asks, and acts on what is confirmed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from tests.unit.locks.line import Line, a_session, turns

from quorate.core.clock import Chance
from quorate.core.errors import DeadlockError, MissingCapability, StoreUnavailable
from quorate.locks.deadlock import Line as Facts
from quorate.locks.deadlock import Note, Picture
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig
from quorate.locks.store import Beside, Doubted
from quorate.testing.clock import ManualClock

OTHER = Note("else#1", "else.1", "o", "their work", "a", "b:else:9", ("else:1",), 0)
AT_ONCE = LockConfig(passing_s=0.0, deadlock_timeout_s=0.0)


class Board:
    """Notes and lines as a test wants them to be read."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.others: list[Note] = [OTHER]
        self.answered = 10**6
        self.gives_way = True
        self.failures = 0
        self.gone_after = 10**6
        self.read: list[tuple[Sequence[Note], Mapping[str, int]]] = []
        self.doubts: list[tuple[set[str], int]] = []
        self.left: list[tuple[str, str]] = []
        self.doubted: Doubted | None = None

    async def listen(self, doubted: Doubted) -> Callable[[], None]:
        self.doubted = doubted
        return lambda: setattr(self, "doubted", None)

    async def compare(self, mine: Sequence[Note], heard: Mapping[str, int]) -> Picture:
        self.read.append((mine, heard))
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        held = self._line.held
        lines = [
            Facts(name, "x", (held[name],), tuple(self._line.lines.get(name, ())))
            for name in held
        ]
        lines.append(Facts("a", "x", (held["a"],), ("else:9",)))
        others = self.others if len(self.read) <= self.gone_after else []
        said = {"else.1": {"me": self.answered}} if others else {}
        here = (replace(note, session="me.1") for note in mine)
        return Picture((*here, *others), tuple(lines), said)

    async def doubt(self, sessions: Iterable[str], number: int) -> None:
        self.doubts.append((set(sessions), number))

    async def give_way(self, name: str, ident: str) -> bool:
        self.left.append((name, ident))
        if self.gives_way:
            self._line._leave(name, ident)
        return self.gives_way

    async def end_hold(self, name: str, token: int) -> int:
        return 0


@pytest.fixture
def line(clock: ManualClock) -> Line:
    line = Line(a_session(clock))
    line.seize("b")
    return line


@pytest.fixture
def board(line: Line) -> Board:
    return Board(line)


@pytest.fixture
async def manager(line: Line, board: Board) -> AsyncIterator[LockManager]:
    manager = LockManager(
        line, line.session, config=AT_ONCE, chance=Chance(1), beside=Beside(waits=board)
    )
    async with manager:
        yield manager


@pytest.fixture
async def waiting(manager: LockManager) -> AsyncIterator[asyncio.Task[None]]:
    """A task that holds a and waits for b, which the other one holds."""

    async def work() -> None:
        first = manager.acquire_lock("a", label="first")
        async with first, manager.acquire_lock("b", label="second"):
            return

    task = asyncio.ensure_future(work())
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, DeadlockError):
        await task


async def goes_on(clock: ManualClock, seconds: float = 1.0) -> None:
    for _ in range(40):
        await turns(5)
        await clock.advance(seconds / 40)


async def test_a_confirmed_circle_ends_the_wait_of_the_last(waiting, board, clock):
    await goes_on(clock)

    with pytest.raises(DeadlockError) as told:
        await waiting
    assert board.left == [("b", "me:2")]
    assert board.doubts == [({"else.1"}, 1)]
    assert "their work" in str(told.value)
    assert "second" in str(told.value)


async def test_who_does_not_answer_convicts_nobody(waiting, board, clock):
    board.answered = 0

    await goes_on(clock)

    assert not waiting.done()
    assert board.left == []
    assert len(board.doubts) >= 1


async def test_what_is_gone_at_the_second_reading_is_no_circle(waiting, board, clock):
    board.gone_after = 1

    await goes_on(clock)

    assert not waiting.done()
    assert board.left == []


async def test_who_is_granted_meanwhile_does_not_give_way(waiting, board, clock):
    board.gives_way = False

    await goes_on(clock)

    assert board.left
    assert not waiting.done()


async def test_who_is_not_the_victim_tells_the_process_of_the_victim(
    waiting, board, clock
):
    board.others = [replace(OTHER, since_ms=10**15)]

    await goes_on(clock)

    assert not waiting.done()
    assert board.left == []
    assert board.doubts[0] == ({"else.1"}, 1)


async def test_a_store_that_is_away_is_asked_again(waiting, board, clock, manager):
    board.failures = 1
    await goes_on(clock)
    watch = manager._open_desk()._lines._watch

    for wait in watch._waits:
        assert wait.look_at < float("inf")
    watch._duty.wake()
    await goes_on(clock)

    with pytest.raises(DeadlockError):
        await waiting


async def test_a_doubt_is_answered_with_what_is_so_now(waiting, board, clock):
    board.others = []
    await goes_on(clock)
    before = len(board.read)
    assert board.doubted is not None

    board.doubted("asker", 7)
    await goes_on(clock)

    notes, heard = board.read[before]
    assert heard == {"asker": 7}
    assert [note.name for note in notes] == ["b"]
    assert notes[0].inside == ("me:1:1001",)


async def test_a_wait_that_is_over_is_noted_no_longer(waiting, board, clock, line):
    board.others = []
    await goes_on(clock)
    assert board.read[-1][0]

    line.free("b")
    await waiting
    async with asyncio.timeout(5):
        while board.read[-1][0]:
            await asyncio.sleep(0.01)


async def test_a_backend_that_compares_no_waits_cannot_take_locks_away(line):
    manager = LockManager(line, line.session, config=AT_ONCE, chance=Chance(1))
    async with manager:
        with pytest.raises(MissingCapability):
            await manager.release("a", 1)
