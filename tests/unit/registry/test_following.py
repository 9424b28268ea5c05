"""One service followed through changes, gaps, outages and a lost history."""

from __future__ import annotations

import pytest
from tests.unit.registry.fake_store import FakeStore

from quorate.core.clock import Chance
from quorate.registry.following import Audience, Follower, FollowTerms
from quorate.registry.model import ServiceInfo, Snapshot
from quorate.testing.clock import ManualClock
from quorate.watch.feed import Overflow

TERMS = FollowTerms(resync_every_s=15.0, retry_s=0.25, retry_s_max=1.0, carry_s=18.0)


class Notes(Audience):
    """Writes down what a follower tells."""

    def __init__(self) -> None:
        self.lists: list[Snapshot] = []
        self.stale: list[tuple[float | None, str]] = []
        self.recovered_after_s: list[float] = []
        self.carried: list[str] = []

    def changed(self, before: Snapshot | None, after: Snapshot) -> None:
        self.lists.append(after)

    def went_stale(self, snapshot: Snapshot, why: str) -> None:
        self.stale.append((snapshot.stale_since, why))

    def recovered(self, snapshot: Snapshot, stale_s: float) -> None:
        assert snapshot.stale_since is None
        self.recovered_after_s.append(stale_s)

    def carries(self, info: ServiceInfo) -> None:
        self.carried.append(info.id)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def wakes() -> list[float]:
    return []


@pytest.fixture
def follower(
    store: FakeStore, notes: Notes, clock: ManualClock, wakes: list[float]
) -> Follower:
    follower = Follower("s", store, TERMS, notes, clock, Chance(1))
    follower.wake = lambda: wakes.append(clock.monotonic())
    return follower


def an_instance(name: str, **fields: object) -> ServiceInfo:
    return ServiceInfo(id=name, name="s", endpoint="h:1", **fields)  # type: ignore[arg-type]


def ids(follower: Follower) -> list[str]:
    assert follower.snapshot is not None
    return [info.id for info in follower.snapshot.instances]


async def test_it_begins_with_a_snapshot_and_goes_on_with_changes(
    store: FakeStore, follower: Follower, notes: Notes
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.put(an_instance("b"))
    store.remove("s", "a")

    await follower.tick()

    assert store.asked == ["snapshot", "changes"]
    assert [[i.id for i in s.instances] for s in notes.lists] == [
        ["a"],
        ["a", "b"],
        ["b"],
    ]
    assert [s.revision for s in notes.lists] == [1, 2, 3]
    assert (follower.snapshots_read, follower.changes_read) == (1, 2)


async def test_who_iterates_gets_every_revision(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("first"))
    await follower.tick()
    with follower.feed.subscribe(Overflow.EVERY) as updates:
        for n in range(5):
            store.put(an_instance(f"i{n}"))
        await follower.tick()
        follower.stop()

        revisions = [(u.epoch, u.version) async for u in updates]

    assert revisions == [("epoch1", n) for n in range(1, 7)]


async def test_a_message_wakes_it_only_for_what_it_does_not_know(
    store: FakeStore, follower: Follower, wakes: list[float]
) -> None:
    store.put(an_instance("a"))
    await follower.tick()

    store.tell("s", "epoch1", 1)
    known = len(wakes)
    store.tell("s", "epoch1", 2)
    store.tell("s", "epoch2", 1)

    assert (known, len(wakes)) == (0, 2)


async def test_a_gap_in_the_log_leads_to_a_snapshot(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.put(an_instance("b"))
    store.cut_logs()

    await follower.tick()

    assert store.asked == ["snapshot", "changes", "snapshot"]
    assert ids(follower) == ["a", "b"]


async def test_after_missed_messages_it_takes_a_snapshot(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("a"))
    await follower.tick()

    store.resync()
    await follower.tick()

    assert store.asked == ["snapshot", "snapshot"]


async def test_without_a_message_it_compares_every_so_often(
    store: FakeStore, follower: Follower
) -> None:
    store.deaf = True
    rests = [await follower.tick() for _ in range(20)]
    store.put(an_instance("a"))

    await follower.tick()

    assert all(12.0 <= rest_s <= 18.0 for rest_s in rests)
    assert max(rests) - min(rests) > 1.0
    assert ids(follower) == ["a"]


async def test_while_the_store_is_away_the_last_list_serves_and_says_since_when(
    store: FakeStore, follower: Follower, notes: Notes, clock: ManualClock
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    fresh_at = clock.monotonic()
    await clock.advance(3.0)
    store.away = True

    rests = [await follower.tick() for _ in range(6)]

    snapshot = follower.snapshot
    assert snapshot is not None
    assert (ids(follower), snapshot.stale_since) == (["a"], fresh_at)
    assert notes.stale == [(fresh_at, "The store is away. It was told to be.")]
    assert rests[0] < 0.26
    assert all(rest_s <= 1.0 for rest_s in rests)


async def test_it_recovers_by_itself_with_a_snapshot(
    store: FakeStore, follower: Follower, notes: Notes, clock: ManualClock
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.away = True
    await follower.tick()
    await clock.advance(5.0)
    store.away = False
    store.put(an_instance("b"))

    await follower.tick()

    assert follower.snapshot is not None
    assert follower.snapshot.stale_since is None
    assert notes.recovered_after_s == [5.0]
    assert store.asked[-1] == "snapshot"
    assert ids(follower) == ["a", "b"]


async def test_a_store_that_was_never_there_gives_no_list_at_all(
    store: FakeStore, follower: Follower, notes: Notes
) -> None:
    store.away = True

    await follower.tick()

    assert follower.snapshot is None
    assert not follower.loaded.is_set()
    assert follower.why_not == "The store is away. It was told to be."
    assert notes.stale == []


async def test_an_emptied_store_takes_nobody_away_at_once(
    store: FakeStore, follower: Follower, notes: Notes, clock: ManualClock
) -> None:
    for name in ("a", "b"):
        store.put(an_instance(name))
    await follower.tick()
    store.flush()

    follower.look_again()
    rest_s = await follower.tick()
    store.put(an_instance("a"))
    await follower.tick()

    snapshot = follower.snapshot
    assert snapshot is not None
    assert notes.carried == ["a", "b"]
    assert [(i.id, i.suspect) for i in snapshot.instances] == [
        ("a", False),
        ("b", True),
    ]
    assert rest_s <= TERMS.carry_s

    await clock.advance(TERMS.carry_s)
    await follower.tick()
    assert ids(follower) == ["a"]


async def test_who_is_refuted_by_a_probe_goes_at_once(
    store: FakeStore, follower: Follower
) -> None:
    for name in ("a", "b"):
        store.put(an_instance(name))
    await follower.tick()
    store.flush()
    follower.look_again()
    await follower.tick()

    follower.refuted("a")

    assert ids(follower) == ["b"]


async def test_stale_news_of_a_probe_keep_the_list_stale(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.flush()
    follower.look_again()
    await follower.tick()
    follower.out_of_sight("gone")

    follower.refuted("a")

    assert follower.snapshot is not None
    assert follower.snapshot.stale_since is not None


async def test_an_answer_to_somebody_else_keeps_the_list_fresh(
    store: FakeStore, follower: Follower, clock: ManualClock
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    await clock.advance(9.0)
    follower.still_in_sight(clock.monotonic())
    seen_at = clock.monotonic()
    await clock.advance(1.0)

    follower.out_of_sight("gone")

    assert follower.snapshot is not None
    assert follower.snapshot.stale_since == seen_at


async def test_an_error_in_the_middle_of_loading_does_not_lose_the_wish_to_load(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.resync()
    store.unsure = True

    await follower.tick()
    await follower.tick()

    assert store.asked == ["snapshot", "snapshot", "snapshot"]


async def test_a_snapshot_that_nobody_expected_to_fail_is_taken_again(
    store: FakeStore, follower: Follower
) -> None:
    store.put(an_instance("a"))
    await follower.tick()
    store.resync()
    store.broken = True

    with pytest.raises(ZeroDivisionError):
        await follower.tick()
    store.broken = False
    await follower.tick()

    assert store.asked == ["snapshot"] * 3


async def test_stopping_ends_iteration_and_hearing(
    store: FakeStore, follower: Follower, wakes: list[float]
) -> None:
    await follower.tick()

    follower.stop()
    follower.stop()
    store.put(an_instance("a"))

    assert follower.feed.closed
    assert wakes == []


async def test_a_very_long_outage_does_not_overflow(
    store: FakeStore, follower: Follower
) -> None:
    store.away = True

    rests = [await follower.tick() for _ in range(2000)]

    assert max(rests) <= 1.0
