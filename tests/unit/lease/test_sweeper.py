"""Cleaning up after the dead: soon, wholly, and by any number of sweepers."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.lease.fake_store import PAGE, FakeStore

from quorate.core.clock import Chance
from quorate.core.errors import StoreUnavailable
from quorate.lease.events import SessionSwept
from quorate.lease.sweeper import (
    AFTER_THE_END_S,
    AGAIN_S,
    ALERT_S,
    IDLE_S,
    SPREAD_S,
    Room,
    Sweeper,
)
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard


class Cleaner:
    """A room with claims: which sessions it has some of, and what it has cleaned."""

    def __init__(self, store: FakeStore, letter: str) -> None:
        self._store = store
        self._letter = letter
        self.cleaned: list[str] = []
        self.ill: set[str] = set()
        self.forgets = False

    def index_key(self, tag: str) -> str:
        return f"{tag}:{self._letter}:I"

    def claim(self, tag: str, *sessions: str) -> None:
        self._store.indexes.setdefault(self.index_key(tag), set()).update(sessions)

    async def clean(self, tag: str, session: str) -> None:
        if session in self.ill:
            raise StoreUnavailable(f"{session} cannot be cleaned")
        self.cleaned.append(session)
        if not self.forgets:
            self._store.indexes.get(self.index_key(tag), set()).discard(session)

    @property
    def room(self) -> Room:
        return Room(clean=self.clean, index_key=self.index_key)


@pytest.fixture
def locks(store: FakeStore) -> Cleaner:
    return Cleaner(store, "l")


@pytest.fixture
def sweeper(
    store: FakeStore, heard: Heard, clock: ManualClock, locks: Cleaner
) -> Sweeper:
    sweeper = Sweeper(store, emit=heard.emit, clock=clock, chance=Chance(1))
    sweeper.add(locks.room)
    return sweeper


async def test_without_a_hint_it_sleeps(sweeper: Sweeper, store: FakeStore) -> None:
    assert await sweeper.tick() == IDLE_S
    assert store.calls == []


async def test_it_wakes_and_looks_when_somebody_may_have_died(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner, clock: ManualClock, heard: Heard
) -> None:
    woken: list[float] = []
    sweeper.wake = lambda: woken.append(clock.monotonic())
    store.kill("{a}", "gone.1")
    locks.claim("{a}", "gone.1")

    sweeper.look_in("{a}", 2.0)
    rest_s = await sweeper.tick()
    assert 2.0 + AFTER_THE_END_S <= rest_s <= 2.0 + AFTER_THE_END_S + SPREAD_S
    assert locks.cleaned == []
    await clock.advance(rest_s)
    woken_before = len(woken)
    await sweeper.tick()

    assert woken_before == 1
    assert locks.cleaned == ["gone.1"]
    assert store.rows["{a}"] == {}
    assert heard.count(SessionSwept, session="gone.1", tag="{a}") == 1


async def test_after_a_death_it_looks_for_others_until_a_renewal_would_tell_of_them(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner, clock: ManualClock
) -> None:
    store.kill("{a}", "first.1")
    store.rows["{a}"]["second.1"] = store.now_ms() + 3000
    sweeper.look_in("{a}", 0.0)

    rests: list[float] = []
    while not rests or rests[-1] < IDLE_S:
        await clock.advance(rests[-1] if rests else 1.0)
        rests.append(await sweeper.tick())

    assert locks.cleaned == ["first.1", "second.1"]
    assert max(rests[:-1]) <= AGAIN_S + AFTER_THE_END_S + SPREAD_S
    assert sum(rests[:-1]) <= 3.0 + 2 * ALERT_S


async def test_a_later_hint_does_not_put_off_an_earlier_one(
    sweeper: Sweeper, clock: ManualClock
) -> None:
    woken: list[int] = []
    sweeper.wake = lambda: woken.append(1)

    for in_s in (5.0, 1.0, 9.0):
        sweeper.look_in("{a}", in_s)
    sweeper.look_in("{b}", 3.0)

    assert 1.0 < await sweeper.tick() < 1.5
    assert len(woken) == 3


async def test_a_hint_that_comes_during_a_sweep_is_kept(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner, clock: ManualClock
) -> None:
    store.kill("{a}", "first.1")
    clean = locks.clean

    async def clean_and_hear(tag: str, session: str) -> None:
        await clean(tag, session)
        if session == "first.1":
            sweeper.look_in(tag, 2.0)

    sweeper._rooms[:] = [Room(clean=clean_and_hear, index_key=locks.index_key)]
    sweeper.look_in("{a}", 0.0)
    await clock.advance(1.0)

    rest_s = await sweeper.tick()

    assert rest_s <= 2.0 + AFTER_THE_END_S + SPREAD_S


async def test_the_dead_are_swept_however_many_there_are(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner
) -> None:
    names = [f"gone.{number}" for number in range(3 * PAGE + 1)]
    for name in names:
        store.kill("{a}", name)
    store.rows["{a}"]["alive.1"] = store.now_ms() + 1000

    assert await sweeper.sweep("{a}") == len(names)

    assert sorted(locks.cleaned) == sorted(names)
    assert list(store.rows["{a}"]) == ["alive.1"]


async def test_who_still_has_claims_somewhere_is_not_buried(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner, heard: Heard
) -> None:
    jobs = Cleaner(store, "j")
    jobs.forgets = True
    sweeper.add(jobs.room)
    for cleaner in (locks, jobs):
        cleaner.claim("{a}", "gone.1")
    store.kill("{a}", "gone.1")

    assert await sweeper.sweep("{a}") == 0
    assert heard.count(SessionSwept) == 0
    assert "gone.1" in store.rows["{a}"]
    jobs.forgets = False
    assert await sweeper.sweep("{a}") == 1

    assert locks.cleaned == jobs.cleaned == ["gone.1", "gone.1"]


async def test_one_that_cannot_be_cleaned_keeps_nobody_else_from_being_cleaned(
    sweeper: Sweeper, store: FakeStore, locks: Cleaner, clock: ManualClock
) -> None:
    for name in ("bad.1", "good.1", "good.2"):
        store.kill("{a}", name)
        locks.claim("{a}", name)
    locks.ill.add("bad.1")
    sweeper.look_in("{a}", 0.0)
    await clock.advance(1.0)

    with pytest.raises(StoreUnavailable, match=r"bad\.1"):
        await sweeper.tick()
    assert sorted(locks.cleaned) == ["good.1", "good.2"]
    locks.ill.clear()
    await clock.advance(1.0)
    await sweeper.tick()

    assert store.rows["{a}"] == {}


async def test_a_sweep_that_fails_or_is_cancelled_is_made_again(
    sweeper: Sweeper, store: FakeStore, clock: ManualClock
) -> None:
    store.kill("{a}", "gone.1")
    sweeper.look_in("{a}", 0.0)
    await clock.advance(1.0)
    store.trouble = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await sweeper.tick()
    store.trouble, store.hangs = None, True
    ticking = asyncio.create_task(sweeper.tick())
    await asyncio.sleep(0)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    store.hangs = False

    await sweeper.tick()

    assert store.rows["{a}"] == {}


async def test_two_who_sweep_at_once_bury_once(
    store: FakeStore, clock: ManualClock, heard: Heard, locks: Cleaner
) -> None:
    store.kill("{a}", "gone.1")
    locks.claim("{a}", "gone.1")
    sweepers = []
    for seed in range(2):
        sweeper = Sweeper(store, emit=heard.emit, clock=clock, chance=Chance(seed))
        sweeper.add(locks.room)
        sweepers.append(sweeper)

    buried = await asyncio.gather(*(sweeper.sweep("{a}") for sweeper in sweepers))

    assert sum(buried) == 1
    assert heard.count(SessionSwept) == 1
