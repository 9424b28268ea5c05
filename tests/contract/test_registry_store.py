"""What every backend of the registry promises, over each server in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from tests.anywhere import publish
from tests.contract.registry_place import TTL_MS, Place

from quorate.registry.events import InstanceUnreadable
from quorate.registry.model import AdminState, ServiceInfo, Snapshot
from quorate.registry.picture import Picture
from quorate.registry.ports import MISSED, AdminChange, Doubt, Word
from quorate.registry.redis import RedisRegistry, RegistryLimits
from quorate.testing.heard import Heard
from quorate.verdict.model import HealthState, HealthStatus
from quorate.wire.redis import Wire

HEALTHY = HealthStatus(HealthState.HEALTHY, "fine", 12.5)
UNHEALTHY = HealthStatus(HealthState.UNHEALTHY, "no answer", 13.5, {"tries": "3"})
DOUBT = Doubt(share=0.3, least=2, late_s=40.0, stay_s=75.0, probe_every_s=0.0)


def an_instance(name: str = "a", service: str = "orders") -> ServiceInfo:
    return ServiceInfo(
        id=name,
        name=service,
        endpoint="http://127.0.0.1:8080/api",
        version="1.2",
        health=HEALTHY,
        metadata={"pid": "7", "colour": "grün"},
        weight=3,
        zone="eu-1",
    )


@pytest.fixture
async def place(redis_url: str, namespace: str, heard: Heard) -> AsyncIterator[Place]:
    wire = Wire(redis_url, namespace=namespace)
    await wire.start()
    yield Place(wire, heard.emit)
    await wire.stop()


async def test_a_registered_instance_is_found_whole(place: Place) -> None:
    me = await place.session("p.1")

    receipt = await place.registry.register(me, an_instance(), 0)

    snapshot = await place.registry.snapshot("orders")
    [found] = snapshot.instances
    assert (receipt.word, receipt.revision) == (Word.DONE, 1)
    assert (snapshot.epoch, snapshot.revision) == (receipt.epoch, 1)
    assert found == replace(
        an_instance(),
        last_check=12.5,
        session=me,
        incarnation=receipt.incarnation,
        registered_at=receipt.incarnation / 1_000_000,
        revision=1,
    )


async def test_an_unknown_service_has_an_empty_snapshot_at_revision_zero(
    place: Place,
) -> None:
    snapshot = await place.registry.snapshot("nobody")

    assert (snapshot.epoch, snapshot.revision, snapshot.instances) == ("", 0, ())


@pytest.mark.parametrize("name", ["a b:c", "ä{x}%", "s" * 250, "x:inst"])
async def test_a_service_may_have_any_printable_name(place: Place, name: str) -> None:
    me = await place.session("p.1")

    await place.registry.register(me, an_instance(service=name), 0)

    assert await place.listed(name) == ["a"]
    assert [count.name for count in await place.registry.services()] == [name]


async def test_registering_the_same_again_is_no_revision(place: Place) -> None:
    me = await place.session("p.1")
    first = await place.registry.register(me, an_instance(), 0)

    for incarnation in (0, first.incarnation):
        again = await place.registry.register(me, an_instance(), incarnation)

        assert again == replace(first, word=Word.SAME)


async def test_another_document_of_the_same_session_is_a_revision_of_the_same_life(
    place: Place,
) -> None:
    me = await place.session("p.1")
    first = await place.registry.register(me, an_instance(), 0)

    changed = replace(an_instance(), version="2.0")
    second = await place.registry.register(me, changed, 0)

    assert second == replace(first, revision=2)
    assert (await place.registry.snapshot("orders")).by_id["a"].version == "2.0"


async def test_renewing_a_session_changes_no_revision(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)
    before = await place.registry.snapshot("orders")

    for _ in range(50):
        await place.sessions.renew(place.tag, me, TTL_MS)

    assert (await place.registry.snapshot("orders")).revision == before.revision
    assert await place.registry.changes("orders", before.epoch, 1) == []


async def test_who_has_no_living_session_can_write_nothing(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)
    await place.let_die(me)

    words = [
        (await place.registry.register("never.1", an_instance("b"), 0)).word,
        (await place.registry.register(me, an_instance("b"), 0)).word,
        (await place.registry.set_health(me, "orders", "a", UNHEALTHY)).word,
        (await place.registry.deregister(me, "orders", "a")).word,
        (
            await place.registry.set_admin(
                me, "orders", "a", AdminChange(AdminState.DRAINING)
            )
        ).word,
    ]

    assert words == [Word.DEAD] * 5
    assert (await place.registry.snapshot("orders")).revision == 1


async def test_a_new_life_wins_over_a_living_one_with_the_same_id(place: Place) -> None:
    old, new = await place.session("old.1"), await place.session("new.1")
    first = await place.registry.register(old, an_instance(), 0)

    second = await place.registry.register(new, an_instance(), 0)

    assert second.incarnation > first.incarnation
    assert (await place.registry.snapshot("orders")).by_id["a"].session == new
    assert await place.indexed() == {new}
    for receipt in (
        await place.registry.set_health(old, "orders", "a", UNHEALTHY),
        await place.registry.deregister(old, "orders", "a"),
        await place.registry.register(old, an_instance(), first.incarnation),
    ):
        assert (receipt.word, receipt.revision) == (Word.SUPERSEDED, 2)


async def test_an_older_life_may_come_back_when_the_later_one_is_dead(
    place: Place,
) -> None:
    old, new = await place.session("old.1"), await place.session("new.1")
    first = await place.registry.register(old, an_instance(), 0)
    await place.registry.register(new, an_instance(), 0)
    await place.let_die(new)

    back = await place.registry.register(old, an_instance(), first.incarnation)

    assert (back.word, back.incarnation) == (Word.DONE, first.incarnation)


async def test_a_session_under_its_next_name_takes_its_instance_along(
    place: Place,
) -> None:
    was = await place.session("p.1")
    first = await place.registry.register(was, an_instance(), 0)
    await place.registry.set_admin(
        was, "orders", "a", AdminChange(AdminState.MAINTENANCE)
    )
    await place.let_die(was)
    now = await place.session("p.2")

    again = await place.registry.register(now, an_instance(), first.incarnation)

    found = (await place.registry.snapshot("orders")).by_id["a"]
    assert (again.word, again.incarnation) == (Word.DONE, first.incarnation)
    assert (found.session, found.suspect) == (now, False)
    assert found.admin_state is AdminState.MAINTENANCE
    assert await place.indexed() == {now}


async def test_leaving_removes_at_once_and_twice_is_harmless(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)

    left = await place.registry.deregister(me, "orders", "a")
    again = await place.registry.deregister(me, "orders", "a")

    assert (left.word, left.revision) == (Word.DONE, 2)
    assert (again.word, again.revision) == (Word.SAME, 2)
    assert await place.listed() == []
    assert await place.registry.services() == []
    assert await place.indexed() == set()


async def test_revisions_go_on_after_a_service_was_empty(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)
    await place.registry.deregister(me, "orders", "a")

    back = await place.registry.register(me, an_instance(), 0)

    changes = await place.registry.changes("orders", back.epoch, 0)
    assert changes is not None
    assert [(c.revision, c.info is None) for c in changes] == [
        (1, False), (2, True), (3, False),
    ]  # fmt: skip


async def test_only_another_state_of_health_is_a_revision(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)
    louder = replace(HEALTHY, message="still fine", timestamp=99.0)

    silent = await place.registry.set_health(me, "orders", "a", louder)
    told = await place.registry.set_health(me, "orders", "a", UNHEALTHY)

    assert (silent.word, silent.revision) == (Word.SAME, 1)
    assert (told.word, told.revision) == (Word.DONE, 2)
    assert (await place.registry.snapshot("orders")).by_id["a"].health == UNHEALTHY


async def test_a_very_long_report_is_cut_and_not_refused(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)
    long = HealthStatus(
        HealthState.DEGRADED, "ä" * 5000, 1.0, {str(n): "x" * 100 for n in range(500)}
    )

    receipt = await place.registry.set_health(me, "orders", "a", long)

    found = (await place.registry.snapshot("orders")).by_id["a"].health
    assert receipt.word is Word.DONE
    assert (found.status, len(found.message)) == (HealthState.DEGRADED, 1024)
    assert found.details == {}


async def test_health_and_admin_of_nobody_are_absent(place: Place) -> None:
    me = await place.session("p.1")

    health = await place.registry.set_health(me, "orders", "a", UNHEALTHY)
    admin = await place.registry.set_admin(
        me, "orders", "a", AdminChange(AdminState.DRAINING)
    )

    assert (health.word, admin.word) == (Word.ABSENT, Word.ABSENT)


async def test_an_operator_drains_what_others_have_registered(place: Place) -> None:
    me, operator = await place.session("p.1"), await place.session("ops.1")
    first = await place.registry.register(me, an_instance(), 0)
    change = AdminChange(AdminState.DRAINING, "deploy 7")

    done = await place.registry.set_admin(operator, "orders", "a", change)
    same = await place.registry.set_admin(operator, "orders", "a", change)
    stale = await place.registry.set_admin(
        operator, "orders", "a", replace(change, incarnation=first.incarnation - 1)
    )

    found = (await place.registry.snapshot("orders")).by_id["a"]
    [held] = await place.registry.held(me)
    assert [r.word for r in (done, same, stale)] == [
        Word.DONE, Word.SAME, Word.SUPERSEDED,
    ]  # fmt: skip
    assert (found.admin_state, found.revision) == (AdminState.DRAINING, 2)
    assert (held.instance, held.admin) == ("a", AdminState.DRAINING)


async def test_changes_lead_to_the_same_picture_as_a_snapshot(place: Place) -> None:
    me, other = await place.session("p.1"), await place.session("p.2")
    await place.registry.register(me, an_instance("a"), 0)
    start = Picture(await place.registry.snapshot("orders"))
    await place.registry.register(other, an_instance("b"), 0)
    await place.registry.set_health(me, "orders", "a", UNHEALTHY)
    await place.registry.set_admin(
        me, "orders", "b", AdminChange(AdminState.MAINTENANCE)
    )
    await place.registry.deregister(me, "orders", "a")

    truth = start.truth
    changes = await place.registry.changes("orders", truth.epoch, truth.revision)

    assert changes is not None
    picture = start
    for change in changes:
        picture = picture.after_change(change, 0.0)
    assert [change.revision for change in changes] == [2, 3, 4, 5]
    assert content(picture.shown) == content(await place.registry.snapshot("orders"))


async def test_a_gap_another_epoch_or_a_step_back_needs_a_snapshot(
    place: Place,
) -> None:
    me = await place.session("p.1")
    receipt = await place.registry.register(me, an_instance(), 0)
    log = f"{place.tag}:r:s:orders:log"
    for _ in range(3):
        await place.registry.register(me, an_instance("b"), 0)
        await place.registry.deregister(me, "orders", "b")
    complete = await place.registry.changes("orders", receipt.epoch, 1)
    await place.wire.calls.command("XTRIM", log, "MAXLEN", "=", 2)

    assert complete is not None
    assert len(complete) == 6
    assert await place.registry.changes("orders", receipt.epoch, 1) is None
    assert await place.registry.changes("orders", "other", 7) is None
    assert await place.registry.changes("orders", receipt.epoch, 8) is None
    assert await place.registry.changes("orders", receipt.epoch, 7) == []


async def test_far_behind_only_a_snapshot_helps(place: Place) -> None:
    me = await place.session("p.1")
    receipt = await place.registry.register(me, an_instance(), 0)

    for count in range(300):
        health = (UNHEALTHY, HEALTHY)[count % 2]
        await place.registry.set_health(me, "orders", "a", health)

    assert await place.registry.changes("orders", receipt.epoch, 1) is None


async def test_an_emptied_store_has_no_epoch_and_then_another(place: Place) -> None:
    me = await place.session("p.1")
    before = await place.registry.register(me, an_instance(), 0)

    await place.flush()
    empty = await place.registry.epoch()
    await place.session(me)
    after = await place.registry.register(me, an_instance(), before.incarnation)

    assert empty == ""
    assert after.epoch not in ("", before.epoch)
    assert (after.revision, after.incarnation) == (1, before.incarnation)


async def test_who_listens_hears_of_each_change_and_of_no_heartbeat(
    place: Place,
) -> None:
    me = await place.session("p.1")
    news: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    leave = await place.registry.listen("orders", hears(news))

    receipt = await place.registry.register(me, an_instance(), 0)
    await place.sessions.renew(place.tag, me, TTL_MS)
    await place.registry.register(me, an_instance(), 0)
    await place.registry.set_health(me, "orders", "a", HEALTHY)
    await place.registry.deregister(me, "orders", "a")

    async with asyncio.timeout(5):
        assert await news.get() == (receipt.epoch, 1)
        assert await news.get() == (receipt.epoch, 2)
    assert news.empty()
    leave()


async def test_an_unreadable_message_calls_for_a_look(place: Place) -> None:
    news: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    leave = await place.registry.listen("orders", hears(news))

    await publish(place.wire, f"{place.tag}:r:news:orders", "what?")

    async with asyncio.timeout(5):
        assert await news.get() == MISSED
    leave()


async def test_who_listens_is_told_when_messages_may_have_been_missed(
    place: Place,
) -> None:
    news: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    leave = await place.registry.listen("orders", hears(news))

    place.cut_inbox()

    async with asyncio.timeout(5):
        assert await news.get() == MISSED
    leave()


async def test_who_begins_to_listen_without_a_connection_hears_later(
    place: Place,
) -> None:
    me = await place.session("p.1")
    news: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    await place.wire.inbox.subscribe(f"{place.tag}:other", print)
    place.cut_inbox()

    leave = await place.registry.listen("orders", hears(news))

    async with asyncio.timeout(5):
        assert await news.get() == MISSED
        receipt = await place.registry.register(me, an_instance(), 0)
        told = MISSED
        while told == MISSED:  # A Cluster says so once a node, and once a new place.
            told = await news.get()
        assert told == (receipt.epoch, 1)
    leave()


async def test_one_that_dies_alone_is_removed(place: Place) -> None:
    names = [await place.session(f"p{n}.1") for n in range(3)]
    for name in names:
        await place.registry.register(name, an_instance(name), 0)
    await place.let_die("p1.1")
    [suspect] = suspects(await place.registry.snapshot("orders"))

    removal = await place.registry.remove_dead("p1.1", DOUBT)

    assert suspect == "p1.1"
    assert (removal.left, removal.removed, removal.suspects) == (0, 1, ())
    assert await place.listed() == ["p0.1", "p2.1"]
    assert await place.indexed() == {"p0.1", "p2.1"}
    assert await place.sessions.bury(place.tag, "p1.1", [place.registry.index_key])


async def test_a_living_session_loses_nothing_to_the_sweeper(place: Place) -> None:
    me = await place.session("p.1")
    await place.registry.register(me, an_instance(), 0)

    removal = await place.registry.remove_dead(me, DOUBT)

    assert (removal.left, removal.removed) == (-1, 0)
    assert await place.listed() == ["a"]


async def test_who_ended_on_purpose_is_no_massacre(place: Place) -> None:
    for n in range(5):
        name = await place.session(f"p{n}.1")
        await place.registry.register(name, an_instance(name), 0)
    for name in ("p0.1", "p1.1"):
        await place.sessions.end(place.tag, name)
    await place.let_die("p2.1")

    removals = [
        await place.registry.remove_dead(name, DOUBT)
        for name in ("p2.1", "p0.1", "p1.1")
    ]

    epoch = await place.registry.epoch()
    changes = await place.registry.changes("orders", epoch, 5)
    assert [removal.removed for removal in removals] == [1, 1, 1]
    assert await place.listed() == ["p3.1", "p4.1"]
    assert changes is not None
    assert [change.why for change in changes] == ["died", "ended", "ended"]


async def massacre(place: Place, dead: int, of: int) -> list[str]:
    """`dead` of so many instances die at once. Their names."""
    for n in range(of):
        name = await place.session(f"p{n}.1")
        await place.registry.register(name, an_instance(name), 0)
    names = [f"p{n}.1" for n in range(dead)]
    for name in names:
        await place.let_die(name)
    return names


async def test_many_that_vanish_at_once_stay_as_suspects(place: Place) -> None:
    names = await massacre(place, dead=2, of=5)

    removals = [await place.registry.remove_dead(name, DOUBT) for name in names]

    snapshot = await place.registry.snapshot("orders")
    changes = await place.registry.changes("orders", snapshot.epoch, 5)
    assert [(r.left, r.removed) for r in removals] == [(1, 0), (1, 0)]
    assert [r.suspects[0].info.id for r in removals] == names
    assert suspects(snapshot) == names
    assert changes is not None
    assert [c.info.suspect for c in changes if c.info] == [True, True]


async def test_the_first_of_many_is_doubted_when_the_others_only_miss_a_renewal(
    place: Place,
) -> None:
    for n, ttl_ms in enumerate((TTL_MS, 30_000, 35_000, TTL_MS, TTL_MS)):
        name = await place.session(f"p{n}.1", ttl_ms)
        await place.registry.register(name, an_instance(name), 0)
    await place.let_die("p0.1")

    removal = await place.registry.remove_dead("p0.1", DOUBT)

    assert (removal.removed, len(removal.suspects)) == (0, 1)
    assert suspects(await place.registry.snapshot("orders")) == ["p0.1"]


async def test_a_refuted_suspect_goes_and_a_confirmed_one_stays(place: Place) -> None:
    names = await massacre(place, dead=2, of=4)
    removals = [await place.registry.remove_dead(name, DOUBT) for name in names]
    [first], [second] = (removal.suspects for removal in removals)

    gone = await place.registry.settle(first, alive=False, stay_s=75)
    kept = await place.registry.settle(second, alive=True, stay_s=75)

    snapshot = await place.registry.snapshot("orders")
    assert (gone, kept) == (True, False)
    assert [info.id for info in snapshot.instances] == ["p1.1", "p2.1", "p3.1"]
    assert suspects(snapshot) == ["p1.1"]


async def test_a_suspect_that_nobody_can_probe_goes_in_the_end(place: Place) -> None:
    names = await massacre(place, dead=2, of=4)
    brief = replace(DOUBT, stay_s=0.0)
    for name in names:
        await place.registry.remove_dead(name, brief)

    removals = [await place.registry.remove_dead(name, brief) for name in names]

    assert [removal.removed for removal in removals] == [1, 1]
    assert await place.listed() == ["p2.1", "p3.1"]


async def test_a_suspect_is_handed_to_one_prober_at_a_time(place: Place) -> None:
    [name, _] = await massacre(place, dead=2, of=4)
    patient = replace(DOUBT, probe_every_s=60.0)

    first = await place.registry.remove_dead(name, patient)
    second = await place.registry.remove_dead(name, patient)

    assert (len(first.suspects), len(second.suspects)) == (1, 0)


async def test_a_suspect_that_has_come_back_is_not_touched_by_a_late_probe(
    place: Place,
) -> None:
    [name, _] = await massacre(place, dead=2, of=4)
    [suspect] = (await place.registry.remove_dead(name, DOUBT)).suspects
    back = await place.session("p0.2")
    await place.registry.register(back, an_instance(name), suspect.info.incarnation)

    gone = await place.registry.settle(suspect, alive=False, stay_s=75)

    snapshot = await place.registry.snapshot("orders")
    assert not gone
    assert snapshot.by_id[name].session == back
    assert not snapshot.by_id[name].suspect
    assert name not in await place.indexed()


async def test_a_session_with_many_instances_is_removed_in_portions(
    place: Place,
) -> None:
    me, other = await place.session("p.1"), await place.session("q.1")
    for n in range(120):
        await place.registry.register(me, an_instance(f"i{n}", f"service{n % 40}"), 0)
    for n in range(40):
        for k in range(9):
            await place.registry.register(
                other, an_instance(f"o{n}-{k}", f"service{n}"), 0
            )
    await place.let_die(me)

    first = await place.registry.remove_dead(me, DOUBT)
    second = await place.registry.remove_dead(me, DOUBT)

    assert (first.removed, first.left) == (100, 20)
    assert (second.removed, second.left) == (20, 0)
    assert await place.indexed() == {other}


async def test_a_full_registry_says_so(place: Place, heard: Heard) -> None:
    small = RedisRegistry(place.wire, heard.emit, RegistryLimits(2, 2))
    me = await place.session("p.1")
    for name, service in (("a", "s"), ("b", "s"), ("a", "t")):
        await small.register(me, an_instance(name, service), 0)

    third = await small.register(me, an_instance("c", "s"), 0)
    other = await small.register(me, an_instance("a", "u"), 0)
    known = await small.register(me, replace(an_instance("a", "s"), version="2"), 0)

    assert [r.word for r in (third, other, known)] == [Word.FULL, Word.FULL, Word.DONE]


async def test_an_entry_that_cannot_be_read_hides_only_itself(
    place: Place, heard: Heard
) -> None:
    me = await place.session("p.1")
    for name in ("a", "b"):
        await place.registry.register(me, an_instance(name), 0)
    documents = f"{place.tag}:r:s:orders:inst"
    await place.wire.calls.command("HSET", documents, "a", b"\xff{")

    assert await place.listed() == ["b"]
    assert heard.all(InstanceUnreadable)[0].instance == "a"


async def test_services_are_counted(place: Place) -> None:
    me = await place.session("p.1")
    for name, service in (("a", "s"), ("b", "s"), ("a", "t")):
        await place.registry.register(me, an_instance(name, service), 0)

    counts = await place.registry.services()

    assert [(c.name, c.instances, c.revision) for c in counts] == [
        ("s", 2, 2), ("t", 1, 1),
    ]  # fmt: skip


def suspects(snapshot: Snapshot) -> list[str]:
    return [info.id for info in snapshot.instances if info.suspect]


def content(snapshot: Snapshot) -> tuple[object, ...]:
    return (snapshot.epoch, snapshot.revision, snapshot.instances)


def hears(news: asyncio.Queue[tuple[str, int]]) -> Callable[[str, int], None]:
    def hear(epoch: str, revision: int) -> None:
        news.put_nowait((epoch, revision))

    return hear
