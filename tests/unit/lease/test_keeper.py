"""Who renews: when, for how long, and when not any more."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.lease.conftest import TERMS, HandKeeper
from tests.unit.lease.fake_store import FakeStore

from quorate.core.clock import Chance
from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.lease.events import SessionEndangered, SessionLost, SessionStalled
from quorate.lease.keeper import PULSE_S, Keeper
from quorate.lease.session import Session
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard


async def test_outside_of_every_tag_there_is_nothing_to_renew(
    keeper: HandKeeper, store: FakeStore
) -> None:
    assert await keeper.passes() == PULSE_S
    assert store.calls == []


async def test_it_renews_when_it_is_time_and_no_sooner(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    await session.join("{a}")

    rest_s = await keeper.passes()
    assert rest_s == pytest.approx(TERMS.renew_every_s)
    await clock.advance(rest_s / 2)
    assert await keeper.passes() == pytest.approx(rest_s / 2)
    assert store.count("renew") == 0
    await clock.advance(rest_s / 2)
    keeper.beats()
    rest_s = await keeper.passes()

    assert store.count("renew") == 1
    assert 0.9 * TERMS.renew_every_s <= rest_s <= TERMS.renew_every_s
    assert session.memberships()[0].lease.asked_at == clock.monotonic()


async def test_one_round_renews_every_tag_once(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    for tag in ("{a}", "{b}", "{c}"):
        await session.join(tag)
    await clock.advance(TERMS.renew_every_s)
    keeper.beats()

    await keeper.passes()

    renewed = [call[1:] for call in store.calls if call[0] == "renew"]
    assert sorted(renewed) == [("{a}", "me.1"), ("{b}", "me.2"), ("{c}", "me.3")]


async def test_a_tag_that_was_entered_later_has_its_own_time(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    await session.join("{a}")
    await clock.advance(2)
    await session.join("{b}")
    await clock.advance(1)
    keeper.beats()

    rest_s = await keeper.passes()

    assert [c[1] for c in store.calls if c[0] == "renew"] == ["{a}"]
    assert rest_s == pytest.approx(2, abs=0.35)


async def test_tags_that_were_entered_one_by_one_fall_into_step(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    for tag in ("{a}", "{b}", "{c}", "{d}"):
        await session.join(tag)
        await clock.advance(TERMS.renew_every_s / 5)

    asked_at: set[float] = set()
    for _ in range(8):
        keeper.beats()
        await clock.advance(await keeper.passes())
        asked_at = {member.lease.asked_at for member in session.memberships()}

    assert len(asked_at) == 1


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), OutcomeUnknown("lost")])
async def test_a_failed_renewal_is_tried_again_soon(
    trouble: StoreUnavailable,
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
    heard: Heard,
) -> None:
    await session.join("{a}")
    await clock.advance(TERMS.renew_every_s)
    keeper.beats()
    store.trouble = trouble

    assert await keeper.passes() == TERMS.retry_every_s
    await clock.advance(TERMS.retry_every_s)
    assert await keeper.passes() == TERMS.retry_every_s
    store.trouble = None
    assert await keeper.passes() > TERMS.retry_every_s

    assert store.count("renew") == 3
    assert session.name_in("{a}") == "me.1"
    assert heard.count(SessionLost) == 0


async def test_a_refusal_loses_the_tag_and_is_asked_for_only_once(
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
    heard: Heard,
) -> None:
    await session.join("{a}")
    await session.join("{b}")
    store.kill("{a}", "me.1")
    await clock.advance(TERMS.renew_every_s)
    keeper.beats()

    for _ in range(20):  # the process's loop does not come round meanwhile
        rest_s = await keeper.tick()
        assert rest_s > 0.1
        await clock.advance(0.1)

    assert [c[1:] for c in store.calls if c[0] == "renew"].count(("{a}", "me.1")) == 1
    await settle()
    lost = await heard(SessionLost)
    assert (lost.session, lost.why) == ("me.1", "the server had ended it")
    assert session.name_in("{a}") is None
    assert session.name_in("{b}") == "me.2"
    assert await session.join("{a}") == "me.3"


async def test_what_was_refused_is_forgotten_with_its_name(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    await session.join("{a}")
    for _ in range(5):
        name = await session.join("{a}")
        store.kill("{a}", name)
        await clock.advance(TERMS.renew_every_s)
        keeper.beats()
        await keeper.passes()
    await keeper.passes()

    assert keeper._refused == set()


async def test_the_loop_loses_at_once_what_may_not_be_trusted(
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
    heard: Heard,
) -> None:
    """Even while the keeper waits for an answer that does not come."""
    await session.join("{a}")
    store.hangs = True
    await clock.advance(TERMS.renew_every_s)
    keeper.beats()
    hanging = asyncio.create_task(keeper.tick())
    await settle()
    left_s = session.memberships()[0].lease.left_s(clock.monotonic())

    await clock.advance(left_s - 0.01)
    keeper.beats()
    assert session.name_in("{a}") == "me.1"
    assert heard.count(SessionEndangered) == 1
    await clock.advance(0.02)
    keeper.beats()

    assert session.name_in("{a}") is None
    assert heard.count(SessionLost, why="not renewed in time") == 1
    hanging.cancel()


async def test_the_pulse_comes_when_trust_ends_not_a_quarter_second_later(
    keeper: HandKeeper, session: Session, clock: ManualClock
) -> None:
    await session.join("{a}")
    await clock.advance(session.memberships()[0].lease.left_s(clock.monotonic()) - 0.03)
    loop = asyncio.get_running_loop()

    keeper.beats()

    assert keeper._beat is not None
    assert keeper._beat.when() - loop.time() == pytest.approx(0.031, abs=0.01)


async def test_a_renewal_never_waits_beyond_the_end_of_trust(
    store: FakeStore, heard: Heard
) -> None:
    from quorate.core.clock import SystemClock
    from quorate.lease.lease import LeaseTerms

    clock = SystemClock()
    terms = LeaseTerms(ttl_s=0.6, renew_every_s=0.3, retry_every_s=0.1)
    session = Session("me", store, terms, heard.emit, clock)
    keeper = HandKeeper(
        session, lambda: store, emit=heard.emit, clock=clock, chance=Chance(1)
    )
    keeper._loop, keeper._store = asyncio.get_running_loop(), store
    await session.join("{a}")
    member = session.memberships()[0]
    await asyncio.sleep(0.4)
    store.hangs = True

    renewed = await keeper._renew(member)

    assert renewed is False
    assert clock.monotonic() < member.lease.trusted_until + 0.1


async def test_what_is_trusted_no_longer_is_not_renewed(
    keeper: HandKeeper, session: Session, store: FakeStore, clock: ManualClock
) -> None:
    """The server might still say yes; but what was lost once is not revived."""
    await session.join("{a}")
    await clock.advance(TERMS.ttl_s - 0.2)
    assert store.is_alive("{a}", "me.1")
    keeper._pulse_at = clock.monotonic()

    await keeper.passes()

    assert store.count("renew") == 0


async def test_a_loop_that_stands_still_is_warned_of_and_then_given_up(
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
    heard: Heard,
) -> None:
    await session.join("{a}")
    stalled_s = 0.0
    while stalled_s <= TERMS.max_stall_s:
        rest_s = await keeper.passes()
        assert session.name_in("{a}") == "me.1"
        await clock.advance(rest_s)
        stalled_s += rest_s
    renewed = store.count("renew")

    while session.name_in("{a}") is not None:
        assert await keeper.passes() == TERMS.retry_every_s
        await clock.advance(TERMS.retry_every_s)
        stalled_s += TERMS.retry_every_s

    assert store.count("renew") == renewed
    assert stalled_s <= TERMS.max_stall_s + TERMS.ttl_s + TERMS.retry_every_s
    stalled = heard.all(SessionStalled)
    assert len(stalled) == 1
    assert stalled[0].stalled_s >= TERMS.max_stall_s / 2
    keeper.beats()
    assert heard.count(SessionLost) == 1


async def test_a_loop_that_comes_round_again_is_renewed_and_may_be_warned_of_again(
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
    heard: Heard,
) -> None:
    await session.join("{a}")
    for _ in range(2):
        for _ in range(5):
            await clock.advance(TERMS.renew_every_s)
            await keeper.passes()
        keeper.beats()
        await clock.advance(TERMS.renew_every_s)
        await keeper.passes()

    assert heard.count(SessionStalled) == 2
    assert session.name_in("{a}") == "me.1"


@pytest.mark.parametrize(
    ("others_age_s", "told"),
    [(1.0, []), (6.9, [("{a}", 3.1)]), (10.5, [("{a}", 0.0)])],
)
async def test_renewing_tells_of_others_who_are_late_or_dead(
    others_age_s: float,
    told: list[tuple[str, float]],
    keeper: HandKeeper,
    session: Session,
    store: FakeStore,
    clock: ManualClock,
) -> None:
    await session.join("{a}")
    await clock.advance(TERMS.renew_every_s)
    end = clock.monotonic() + TERMS.ttl_s - others_age_s
    store.rows["{a}"]["other.1"] = int(end * 1000)
    keeper.beats()

    await keeper.passes()

    assert [(tag, pytest.approx(in_s)) for tag, in_s in keeper.late] == told


async def test_a_loop_that_is_gone_ends_the_keeper(
    session: Session, store: FakeStore, heard: Heard, clock: ManualClock
) -> None:
    keeper = Keeper(
        session, lambda: store, emit=heard.emit, clock=clock, chance=Chance(1)
    )
    gone = asyncio.new_event_loop()
    gone.close()
    keeper._loop = gone
    keeper._thread_loop, keeper._bell = asyncio.get_running_loop(), asyncio.Event()

    await keeper.tick()
    await settle()

    assert keeper._bell.is_set()
    keeper._in_loop(print, "into the void")
