"""Own instances: announced, kept announced, and taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.registry.fake_store import FakeStore

from quorate.core.clock import Chance
from quorate.core.errors import (
    InvalidInput,
    OutcomeUnknown,
    SessionLostError,
    StaleTokenError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.registry.events import (
    InstanceDeregistered,
    InstanceRegistered,
    InstanceSuperseded,
)
from quorate.registry.model import AdminState, ServiceInfo
from quorate.registry.ports import AdminChange, Receipt, Word
from quorate.registry.registrar import AUDIT_EVERY_S, Registrar
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard
from quorate.verdict.model import HealthState, HealthStatus

SICK = HealthStatus(HealthState.UNHEALTHY, "no answer", 5.0)
FINE = HealthStatus(HealthState.HEALTHY, "fine", 4.0)


class Rows:
    """Session rows that always let in, unless the store is away."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        if self.store.away:
            raise StoreUnavailable("The store is away.")
        return True

    async def end(self, tag: str, session: str) -> bool:
        return True


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def session(store: FakeStore, heard: Heard, clock: ManualClock) -> Session:
    terms = LeaseTerms(ttl_s=3600, renew_every_s=1200)
    return Session("me", Rows(store), terms, heard.emit, clock)  # type: ignore[arg-type]


@pytest.fixture
def registrar(store: FakeStore, session: Session, heard: Heard) -> Registrar:
    return Registrar(store, session, store.tag, emit=heard.emit, chance=Chance(1))


def an_instance(name: str = "a", service: str = "s", **fields: object) -> ServiceInfo:
    return ServiceInfo(id=name, name=service, endpoint="h:1", **fields)  # type: ignore[arg-type]


def lose(session: Session) -> None:
    [member] = session.memberships()
    session.lost(member, "told to")


async def test_registering_announces_under_the_session(
    registrar: Registrar, store: FakeStore, heard: Heard
) -> None:
    receipt = await registrar.register(an_instance(health=FINE))

    [own] = registrar.instances()
    assert (receipt.word, receipt.revision) == (Word.DONE, 1)
    assert store.rows["s"]["a"].session == "me.1"
    assert (own.session, own.incarnation) == ("me.1", receipt.incarnation)
    assert heard.count(InstanceRegistered, instance="a", revision=1) == 1


async def test_who_has_no_health_yet_is_announced_as_healthy(
    registrar: Registrar, store: FakeStore
) -> None:
    starting = HealthStatus(HealthState.STARTING)

    await registrar.register(an_instance("a"))
    await registrar.register(an_instance("b", health=starting))

    assert store.rows["s"]["a"].state is HealthState.HEALTHY
    assert store.rows["s"]["b"].state is HealthState.STARTING


async def test_registering_again_changes_the_document_and_not_the_life(
    registrar: Registrar, store: FakeStore
) -> None:
    first = await registrar.register(an_instance(health=FINE))

    second = await registrar.register(an_instance(health=FINE, version="2"))

    assert second.incarnation == first.incarnation
    assert store.rows["s"]["a"].version == "2"


@pytest.mark.parametrize("fault", ["away", "full"])
async def test_what_the_store_did_not_take_is_not_announced(
    registrar: Registrar, store: FakeStore, fault: str
) -> None:
    setattr(store, fault, True)

    with pytest.raises((StoreUnavailable, StoreRefused)):
        await registrar.register(an_instance())
    setattr(store, fault, False)
    await registrar.tick()

    assert registrar.instances() == ()
    assert store.instances("s") == {}


async def test_what_may_have_been_registered_after_all_is_taken_back(
    registrar: Registrar, store: FakeStore, session: Session
) -> None:
    me = await session.join(store.tag)
    await registrar.tick()
    store.unsure = True
    with pytest.raises(OutcomeUnknown):
        await registrar.register(an_instance())
    store.put(an_instance(session=me, incarnation=7))

    await registrar.tick()

    assert store.rows["s"] == {}


async def test_after_a_lost_session_it_is_back_under_the_new_name(
    registrar: Registrar, store: FakeStore, session: Session, heard: Heard
) -> None:
    await registrar.start()
    first = await registrar.register(an_instance())
    store.ended.add("me.1")

    await settle()
    heard.clear()
    lose(session)
    await heard(InstanceRegistered, instance="a")

    row = store.rows["s"]["a"]
    assert (row.session, row.incarnation) == ("me.2", first.incarnation)
    assert registrar.stats().again == 1
    await registrar.stop()


async def test_a_session_that_only_the_server_knows_to_be_over_is_given_up(
    registrar: Registrar, store: FakeStore, session: Session
) -> None:
    await session.join(store.tag)
    store.ended.add("me.1")

    await registrar.register(an_instance())

    assert store.rows["s"]["a"].session == "me.2"


async def test_two_dead_sessions_in_a_row_are_an_error(
    registrar: Registrar, store: FakeStore
) -> None:
    store.ended.update({"me.1", "me.2"})

    with pytest.raises(SessionLostError):
        await registrar.register(an_instance())


async def test_what_the_store_has_forgotten_comes_back_with_the_next_comparison(
    registrar: Registrar, store: FakeStore, clock: ManualClock
) -> None:
    await registrar.register(an_instance())
    await registrar.tick()
    store.flush()
    await clock.advance(AUDIT_EVERY_S * 1.2)

    await registrar.tick()

    assert set(store.rows["s"]) == {"a"}


async def test_comparing_is_cheap_and_changes_no_revision(
    registrar: Registrar, store: FakeStore, clock: ManualClock
) -> None:
    await registrar.register(an_instance())
    await registrar.tick()
    store.asked.clear()

    for _ in range(10):
        await clock.advance(AUDIT_EVERY_S * 1.2)
        await registrar.tick()

    assert store.asked == ["held"] * 10
    assert store.revisions == {"s": 1}


async def test_who_has_nothing_registered_asks_nothing(
    registrar: Registrar, store: FakeStore, session: Session, clock: ManualClock
) -> None:
    await session.join(store.tag)
    await registrar.tick()
    store.asked.clear()

    await clock.advance(100)
    await registrar.tick()

    assert store.asked == []


async def test_only_another_state_of_health_is_told_at_once(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance(health=FINE))
    store.asked.clear()

    same = await registrar.set_health("a", replace(FINE, timestamp=9.0))
    text = await registrar.set_health("a", replace(FINE, message="finer"))
    state = await registrar.set_health("a", SICK)

    assert (same, text, state) == (True, True, True)
    assert store.asked == ["set_health"]
    assert store.rows["s"]["a"].health == SICK


async def test_a_new_text_is_told_with_the_next_comparison(
    registrar: Registrar, store: FakeStore, clock: ManualClock
) -> None:
    await registrar.register(an_instance(health=FINE))
    await registrar.set_health("a", replace(FINE, message="finer"))
    await clock.advance(AUDIT_EVERY_S * 1.2)

    await registrar.tick()

    assert store.rows["s"]["a"].health.message == "finer"
    assert store.revisions == {"s": 1}


async def test_health_found_while_the_store_is_away_is_told_when_it_is_back(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance(health=FINE))
    store.away = True

    told = await registrar.set_health("a", SICK)
    rest_s = await registrar.tick()
    store.away = False
    await registrar.tick()

    assert not told
    assert rest_s < 0.3
    assert store.rows["s"]["a"].health == SICK


async def test_health_of_what_the_store_has_lost_registers_it_again(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance(health=FINE))
    store.flush()

    await registrar.set_health("a", SICK)

    assert store.rows["s"]["a"].health == SICK


async def test_a_later_life_of_the_same_id_is_left_alone(
    registrar: Registrar, store: FakeStore, heard: Heard
) -> None:
    first = await registrar.register(an_instance(health=FINE))
    later = an_instance(session="other.1", incarnation=first.incarnation + 1)
    store.put(later)

    await registrar.set_health("a", SICK)

    assert registrar.instances() == ()
    assert store.rows["s"]["a"].session == "other.1"
    assert heard.count(InstanceSuperseded, instance="a") == 1
    assert registrar.stats().superseded == 1


async def test_registering_anew_what_somebody_else_has_by_now_is_an_error(
    registrar: Registrar, store: FakeStore
) -> None:
    first = await registrar.register(an_instance())
    store.put(an_instance(session="other.1", incarnation=first.incarnation + 1))

    with pytest.raises(StaleTokenError):
        await registrar.register(an_instance(version="2"))


async def test_a_pass_in_the_middle_of_registering_tells_nothing_twice(
    registrar: Registrar, store: FakeStore, heard: Heard
) -> None:
    gate = asyncio.Event()
    register = store.register

    async def slowly(session: str, info: ServiceInfo, incarnation: int) -> Receipt:
        await gate.wait()
        return await register(session, info, incarnation)

    store.register = slowly  # type: ignore[method-assign]
    registering = asyncio.ensure_future(registrar.register(an_instance()))
    await settle()
    passing = asyncio.ensure_future(registrar.tick())
    await settle()
    gate.set()
    await asyncio.gather(registering, passing)

    assert heard.count(InstanceRegistered) == 1
    assert registrar.stats().registered == 1


async def test_leaving_takes_it_back_at_once(
    registrar: Registrar, store: FakeStore, heard: Heard
) -> None:
    await registrar.register(an_instance())

    gone = await registrar.deregister("a")

    assert gone
    assert store.rows["s"] == {}
    assert registrar.instances() == ()
    assert heard.count(InstanceDeregistered, instance="a") == 1


async def test_who_leaves_and_comes_back_at_once_is_there(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance())
    gate = asyncio.Event()
    deregister = store.deregister

    async def slowly(session: str, service: str, instance: str) -> Receipt:
        await gate.wait()
        return await deregister(session, service, instance)

    store.deregister = slowly  # type: ignore[method-assign]
    leaving = asyncio.ensure_future(registrar.deregister("a"))
    await settle()
    coming = asyncio.ensure_future(registrar.register(an_instance()))
    await settle()
    gate.set()
    await asyncio.gather(leaving, coming)

    assert [own.id for own in registrar.instances()] == ["a"]
    assert set(store.rows["s"]) == {"a"}


async def test_registering_what_the_store_has_already_corrects_its_health(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance(health=FINE))
    store.put(store.rows["s"]["a"].with_health(SICK))

    await registrar.register(an_instance(health=FINE))

    assert store.rows["s"]["a"].state is HealthState.HEALTHY


async def test_leaving_while_the_store_is_away_is_made_good(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance())
    store.away = True
    gone = await registrar.deregister("a")
    store.away = False

    await registrar.tick()

    assert not gone
    assert registrar.instances() == ()
    assert store.rows["s"] == {}


async def test_stopping_takes_everything_back(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.start()
    for name in ("a", "b"):
        await registrar.register(an_instance(name))

    await registrar.stop()
    await registrar.stop()

    assert store.rows["s"] == {}


async def test_stopping_without_a_store_is_no_error(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.start()
    await registrar.register(an_instance())
    store.away = True

    await registrar.stop()

    assert set(store.rows["s"]) == {"a"}


async def test_admin_state_is_set_and_survives_a_lost_session(
    registrar: Registrar, store: FakeStore, session: Session
) -> None:
    await registrar.register(an_instance())

    await registrar.set_admin("a", AdminChange(AdminState.DRAINING, "deploy"))
    store.flush()
    lose(session)
    await registrar.tick()

    assert store.rows["s"]["a"].admin_state is AdminState.DRAINING


async def test_what_an_operator_decided_is_learned_and_kept(
    registrar: Registrar, store: FakeStore, session: Session
) -> None:
    await registrar.register(an_instance())
    row = store.rows["s"]["a"]
    store.put(replace(row, admin_state=AdminState.MAINTENANCE))
    registrar.look_again()
    await registrar.tick()
    store.flush()

    lose(session)
    await registrar.tick()

    assert store.rows["s"]["a"].admin_state is AdminState.MAINTENANCE


async def test_admin_state_of_what_is_not_there_any_more_is_an_error(
    registrar: Registrar, store: FakeStore
) -> None:
    await registrar.register(an_instance())
    store.flush()

    with pytest.raises(SessionLostError, match="absent"):
        await registrar.set_admin("a", AdminChange(AdminState.DRAINING))
    await registrar.tick()

    assert set(store.rows["s"]) == {"a"}


async def test_one_id_in_two_services_must_be_told_apart(registrar: Registrar) -> None:
    await registrar.register(an_instance("a", "s"))
    await registrar.register(an_instance("a", "t"))

    with pytest.raises(InvalidInput, match="several services"):
        await registrar.deregister("a")
    await registrar.deregister("a", "s")

    assert [own.name for own in registrar.instances()] == ["t"]


async def test_nobody_speaks_for_what_it_has_not_registered(
    registrar: Registrar,
) -> None:
    with pytest.raises(InvalidInput, match="not registered by this process"):
        await registrar.set_health("a", SICK)


async def test_a_very_long_outage_does_not_overflow(
    registrar: Registrar, store: FakeStore, session: Session
) -> None:
    await registrar.register(an_instance())
    lose(session)
    store.away = True

    rests = [await registrar.tick() for _ in range(2000)]

    assert max(rests) <= 1.0
