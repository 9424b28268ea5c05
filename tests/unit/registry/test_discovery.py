"""Looking up, watching, and being let go of again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.unit.registry.fake_store import FakeStore

from quorate.core.clock import Chance
from quorate.core.errors import (
    InvalidInput,
    InvalidName,
    StoreRefused,
    StoreUnavailable,
)
from quorate.registry.discovery import DiscoveryTerms, ServiceDiscovery
from quorate.registry.events import (
    DiscoveryRecovered,
    DiscoveryStale,
    InstanceAdminChanged,
    InstanceGone,
    InstanceHealthChanged,
    InstanceJoined,
    InstanceSuspected,
)
from quorate.registry.following import FollowTerms
from quorate.registry.lookout import LookoutTerms
from quorate.registry.model import AdminState, ServiceInfo, Snapshot
from quorate.registry.probing import Prober
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard
from quorate.verdict.model import HealthState, HealthStatus

QUICK = DiscoveryTerms(
    follow=FollowTerms(retry_s=0.001, retry_s_max=0.001),
    look=LookoutTerms(every_s=0.005, timeout_s=0.5),
    first_s=0.05,
)


class World:
    """A discovery over a store in memory, and who answers probes."""

    def __init__(self, heard: Heard, clock: ManualClock) -> None:
        self.store = FakeStore()
        self.heard = heard
        self.clock = clock
        self.alive: set[str] = set()
        self.discovery = self.made(QUICK)

    def made(self, terms: DiscoveryTerms) -> ServiceDiscovery:
        prober = Prober(self._probe, self.heard.emit, self.clock)
        return ServiceDiscovery(
            self.store,
            prober,
            terms,
            emit=self.heard.emit,
            clock=self.clock,
            chance=Chance(1),
        )

    async def _probe(self, info: ServiceInfo) -> bool | None:
        return info.id in self.alive


@pytest.fixture
async def world(heard: Heard, clock: ManualClock) -> AsyncIterator[World]:
    world = World(heard, clock)
    await world.discovery.start()
    yield world
    await world.discovery.stop()


def an_instance(name: str = "a", **fields: object) -> ServiceInfo:
    return ServiceInfo(id=name, name="s", endpoint="h:1", **fields)  # type: ignore[arg-type]


def at(revision: int) -> object:
    return lambda snapshot: snapshot.revision >= revision


async def test_only_the_first_lookup_asks_the_store(world: World) -> None:
    world.store.put(an_instance())

    first = await world.discovery.discover("s")
    again = await world.discovery.get_instances("s")

    assert [i.id for i in first] == [i.id for i in again] == ["a"]
    assert world.store.asked.count("snapshot") == 1
    assert world.discovery.stats().cache.hits == 1


async def test_a_service_that_was_never_loaded_is_an_error_and_no_empty_list(
    world: World,
) -> None:
    world.store.away = True

    with pytest.raises(StoreUnavailable, match="Nothing is known"):
        await world.discovery.discover("s")


async def test_a_name_that_cannot_be_one_is_refused_before_anything_is_asked(
    world: World,
) -> None:
    with pytest.raises(InvalidName):
        await world.discovery.discover("")

    assert "snapshot" not in world.store.asked


async def test_watching_gives_every_revision_in_order(world: World) -> None:
    world.store.put(an_instance("first"))
    await world.discovery.discover("s")
    watch = world.discovery.watch("s")
    seen = [(await anext(watch)).revision]

    for n in range(5):
        world.store.put(an_instance(f"i{n}"))
    async with asyncio.timeout(5):
        while seen[-1] < 6:
            seen.append((await anext(watch)).revision)
    await watch.aclose()  # type: ignore[attr-defined]

    assert seen == [1, 2, 3, 4, 5, 6]


async def test_a_watch_ends_when_discovery_stops(world: World) -> None:
    watch = world.discovery.watch("s")
    await anext(watch)

    await world.discovery.stop()

    assert [snapshot async for snapshot in watch] == []


async def test_waiting_for_a_revision_that_does_not_come_ends(world: World) -> None:
    with pytest.raises(TimeoutError):
        await world.discovery.wait_for("s", lambda s: s.revision > 0, within_s=0.02)


async def test_waiting_ends_with_an_error_when_discovery_stops(world: World) -> None:
    waiting = asyncio.ensure_future(
        world.discovery.wait_for("s", lambda s: s.revision > 0)
    )
    await settle()

    await world.discovery.stop()

    with pytest.raises(StoreUnavailable, match="stopped"):
        await waiting


async def test_a_watcher_gets_the_new_list_and_nothing_twice(world: World) -> None:
    lists: list[list[str]] = []
    news = asyncio.Event()

    async def callback(services: list[ServiceInfo]) -> None:
        lists.append([info.id for info in services])
        news.set()

    world.store.put(an_instance("a"))
    await world.discovery.discover("s")
    watcher = world.discovery.add_watcher("s", callback)
    await asyncio.wait_for(news.wait(), 5)
    news.clear()
    world.store.put(an_instance("b"))
    await asyncio.wait_for(news.wait(), 5)
    last_update = watcher.last_update

    await watcher.close()
    await watcher.close()
    world.store.put(an_instance("c"))
    await world.discovery.wait_for("s", lambda s: s.revision >= 3)

    assert lists == [["a"], ["a", "b"]]
    assert last_update == world.clock.now()
    assert watcher.service_name == "s"


async def test_a_watcher_must_be_callable(world: World) -> None:
    with pytest.raises(InvalidInput):
        world.discovery.add_watcher("s", "no function")  # type: ignore[arg-type]


async def test_what_happens_to_instances_is_told_as_events(
    world: World, heard: Heard
) -> None:
    sick = HealthStatus(HealthState.UNHEALTHY, "no answer")
    world.store.put(an_instance("a", health=HealthStatus(HealthState.HEALTHY)))
    await world.discovery.discover("s")

    world.store.put(an_instance("b"))
    world.store.put(an_instance("a", health=sick))
    world.store.put(an_instance("a", health=sick, admin_state=AdminState.DRAINING))
    world.store.put(
        an_instance("a", health=sick, admin_state=AdminState.DRAINING, suspect=True)
    )
    world.store.remove("s", "a")
    await world.discovery.wait_for("s", lambda s: s.revision >= 6)

    assert heard.count(InstanceJoined, instance="b") == 1
    assert heard.count(InstanceJoined, instance="a") == 0
    assert heard.count(
        InstanceHealthChanged, instance="a", old="healthy", new="unhealthy",
        reason="no answer",
    ) == 1  # fmt: skip
    assert heard.count(InstanceAdminChanged, old="active", new="draining") == 1
    assert heard.count(InstanceSuspected, instance="a") == 1
    assert heard.count(InstanceGone, instance="a", revision=6) == 1


async def test_the_lookout_notices_a_store_that_is_away_and_back(
    world: World, heard: Heard
) -> None:
    told: list[float | None] = []
    lists: list[int] = []
    world.store.put(an_instance())
    await world.discovery.discover("s")
    world.discovery.add_watcher("s", lambda found: lists.append(len(found)))
    world.discovery.listen("s", lambda snapshot: told.append(snapshot.stale_since))

    world.store.away = True
    await heard(DiscoveryStale, service="s")
    stale = await world.discovery.snapshot("s")
    count = world.discovery.stats().stale
    world.store.away = False
    await heard(DiscoveryRecovered, service="s")

    assert [i.id for i in stale.instances] == ["a"]
    assert stale.stale_since is not None
    assert count == 1
    assert (await world.discovery.snapshot("s")).stale_since is None
    assert [since is None for since in told] == [True, False, True]
    assert lists == [1]


async def test_a_store_that_does_not_answer_is_away(
    heard: Heard, clock: ManualClock
) -> None:
    world = World(heard, clock)
    world.discovery = world.made(
        replace(QUICK, look=LookoutTerms(every_s=0.005, timeout_s=0.01))
    )
    world.store.put(an_instance())
    await world.discovery.discover("s")

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    world.store.epoch = never  # type: ignore[method-assign]
    await world.discovery.start()

    event = await heard(DiscoveryStale, service="s")
    await world.discovery.stop()

    assert "did not answer" in event.why


async def test_the_lookout_notices_that_the_store_was_emptied(world: World) -> None:
    lost: list[None] = []
    world.discovery.on_new_history = lambda: lost.append(None)
    await world.discovery.stop()
    world.discovery = world.made(QUICK)
    world.discovery.on_new_history = lambda: lost.append(None)
    await world.discovery.start()
    world.alive = {"a"}
    for name in ("a", "b"):
        world.store.put(an_instance(name))
    await world.discovery.discover("s")

    world.store.flush()
    after = await world.discovery.wait_for(
        "s", lambda s: [i.id for i in s.instances] == ["a"], within_s=5
    )

    assert after.by_id["a"].suspect
    assert lost
    assert world.discovery.stats().probes == 2


async def test_who_looks_up_also_lives_in_the_registry(
    heard: Heard, clock: ManualClock
) -> None:
    joined = asyncio.Event()
    world = World(heard, clock)

    async def join() -> None:
        joined.set()

    world.discovery.join = join
    await world.discovery.start()
    before = joined.is_set()
    await world.discovery.discover("s")

    await asyncio.wait_for(joined.wait(), 5)

    assert not before
    await world.discovery.stop()


async def test_what_nobody_uses_is_let_go_and_what_is_watched_stays(
    heard: Heard, clock: ManualClock
) -> None:
    world = World(heard, clock)
    discovery, lookout = world.discovery, world.discovery.lookout()
    for service in ("s", "t"):
        await discovery.discover(service)
    leave = discovery.listen("t", lambda _snapshot: None)

    await clock.advance(QUICK.cache_ttl_s + 1)
    await lookout.tick()
    followed = [snapshot.name for snapshot in discovery.followed()]
    leave()
    await clock.advance(QUICK.cache_ttl_s + 1)
    await lookout.tick()

    assert followed == ["t"]
    assert discovery.followed() == ()
    assert discovery.stats().cache.let_go == 2
    await discovery.stop()


async def test_names_from_outside_cannot_pile_up(
    heard: Heard, clock: ManualClock
) -> None:
    world = World(heard, clock)
    discovery = world.made(replace(QUICK, cache_size_max=2))
    for service in ("s", "t"):
        await discovery.discover(service)

    with pytest.raises(StoreRefused, match="followed"):
        await discovery.discover("u")

    await discovery.stop()


async def test_the_services_are_asked_of_the_store(world: World) -> None:
    world.store.put(an_instance())

    [count] = await world.discovery.services()

    assert (count.name, count.instances) == ("s", 1)


async def test_a_listener_is_told_at_once_what_is_known(world: World) -> None:
    world.store.put(an_instance())
    known = await world.discovery.snapshot("s")
    told: list[Snapshot] = []

    world.discovery.listen("s", told.append)

    assert told == [known]
