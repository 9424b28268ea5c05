"""One session a process: entering, being lost, coming back under another name."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.lease.conftest import TERMS
from tests.unit.lease.fake_store import FakeStore

from quorate.core.errors import SessionLostError, StoreRefused, StoreUnavailable
from quorate.core.events import ListenerFailed
from quorate.lease.events import (
    SessionEndangered,
    SessionEnded,
    SessionJoined,
    SessionLost,
)
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard


async def test_entering_costs_one_call_a_tag(
    session: Session, store: FakeStore, heard: Heard
) -> None:
    names = [await session.join(tag) for tag in ("{a}", "{a}", "{b}", "{a}")]

    assert names == ["me.1", "me.1", "me.2", "me.1"]
    assert store.count("join") == 2
    assert heard.count(SessionJoined, session="me.1", tag="{a}") == 1
    assert session.is_alive("{a}", "me.1")
    assert not session.is_alive("{b}", "me.1")
    assert session.name_in("{c}") is None


async def test_trust_is_counted_from_before_the_question(
    session: Session, store: FakeStore, clock: ManualClock
) -> None:
    asked_at = clock.monotonic()
    store.late_s = 2.0
    joining = asyncio.create_task(session.join("{a}"))

    await clock.advance(2.0)
    await joining

    member = session.memberships()[0]
    assert member.lease.asked_at == asked_at
    assert session.trusted_until("{a}") == member.lease.trusted_until
    assert session.trusted_until("{b}") == 0.0


async def test_a_thousand_who_enter_at_once_are_one_entry(
    session: Session, store: FakeStore
) -> None:
    names = await asyncio.gather(*(session.join("{a}") for _ in range(1000)))

    assert set(names) == {"me.1"}
    assert store.count("join") == 1


async def test_a_first_one_who_is_cancelled_leaves_the_entry_to_the_next(
    session: Session, store: FakeStore, clock: ManualClock
) -> None:
    store.late_s = 1.0
    first, second = [asyncio.create_task(session.join("{a}")) for _ in range(2)]
    await settle()

    first.cancel()
    await clock.advance(0.5)
    assert not second.done()
    await clock.advance(1.0)

    assert first.cancelled()
    assert await second == "me.2"
    assert session.name_in("{a}") == "me.2"


async def test_all_who_wait_share_one_failure(
    session: Session, store: FakeStore
) -> None:
    store.trouble = StoreUnavailable("away", "why", "fix")

    outcomes = await asyncio.gather(
        *(session.join("{a}") for _ in range(100)), return_exceptions=True
    )

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert {str(outcome) for outcome in outcomes} == {"away\n  why\n  fix"}
    assert store.count("join") == 1


async def test_who_comes_after_a_failure_tries_anew(
    session: Session, store: FakeStore
) -> None:
    """Even while others, who came before it, are still being told."""
    store.trouble = StoreUnavailable("away")

    async def persist() -> str:
        for _ in range(1000):
            try:
                return await session.join("{a}")
            except StoreUnavailable:
                if store.count("join") >= 3:
                    store.trouble = None
        raise AssertionError("nobody tried again")

    names = await asyncio.gather(*(persist() for _ in range(10)))

    assert len(set(names)) == 1
    assert store.count("join") == 4


async def test_an_entry_that_took_too_long_is_none(
    session: Session, store: FakeStore, clock: ManualClock
) -> None:
    store.late_s = TERMS.ttl_s
    joining = asyncio.create_task(session.join("{a}"))

    await clock.advance(TERMS.ttl_s)

    with pytest.raises(StoreUnavailable, match="in time"):
        await joining
    assert session.memberships() == ()


async def test_a_name_that_is_dead_already_is_not_used(
    session: Session, store: FakeStore
) -> None:
    store.kill("{a}", "me.1")

    with pytest.raises(StoreUnavailable, match="in time"):
        await session.join("{a}")

    assert await session.join("{a}") == "me.2"


async def test_when_trust_ends_it_is_lost_once_and_comes_back_as_another(
    session: Session, clock: ManualClock, heard: Heard
) -> None:
    told: list[tuple[str, str, str | None]] = []
    session.on_lost(lambda tag, name: told.append((tag, name, session.name_in(tag))))
    await session.join("{a}")
    member = session.memberships()[0]

    await clock.advance(session.look() + TERMS.ttl_s)
    assert session.name_in("{a}") is None
    assert session.look() == float("inf")
    session.look()
    session.lost(member, "once more")

    assert told == [("{a}", "me.1", None)]
    assert [e.why for e in heard.all(SessionLost)] == ["not renewed in time"]
    assert await session.join("{a}") == "me.2"


async def test_who_enters_before_the_loss_was_seen_loses_first(
    session: Session, clock: ManualClock, heard: Heard
) -> None:
    told: list[str] = []
    session.on_lost(lambda _, name: told.append(name))
    await session.join("{a}")
    await clock.advance(TERMS.ttl_s)

    assert await session.join("{a}") == "me.2"

    assert told == ["me.1"]
    assert heard.count(SessionLost) == 1


async def test_news_of_a_renewal_that_come_too_late_revive_nothing(
    session: Session, clock: ManualClock
) -> None:
    await session.join("{a}")
    member = session.memberships()[0]
    await clock.advance(member.lease.left_s(clock.monotonic()) + 0.001)

    session.renewed(member, clock.monotonic() - 0.5)

    assert session.name_in("{a}") is None


async def test_a_renewal_of_what_was_lost_changes_nothing(
    session: Session, clock: ManualClock
) -> None:
    await session.join("{a}")
    old = session.memberships()[0]
    session.lost(old, "the server had ended it")
    session.renewed(old, clock.monotonic())
    assert session.memberships() == ()
    await session.join("{a}")
    before = session.trusted_until("{a}")
    await clock.advance(1)

    session.renewed(old, clock.monotonic())
    session.lost(old, "once more")

    assert session.trusted_until("{a}") == before
    assert session.name_in("{a}") == "me.2"


async def test_a_renewal_prolongs_trust(session: Session, clock: ManualClock) -> None:
    await session.join("{a}")
    before = session.trusted_until("{a}")
    await clock.advance(3)

    session.renewed(session.memberships()[0], clock.monotonic())

    assert session.trusted_until("{a}") == pytest.approx(before + 3)


async def test_losing_one_tag_is_not_losing_another(
    session: Session, heard: Heard
) -> None:
    await session.join("{a}")
    await session.join("{b}")

    session.lost(session.memberships()[0], "the server had ended it")

    assert session.name_in("{a}") is None
    assert session.name_in("{b}") == "me.2"


async def test_danger_is_told_once_in_time_and_again_after_it_had_passed(
    session: Session, clock: ManualClock, heard: Heard
) -> None:
    await session.join("{a}")
    next_s = session.look()
    await clock.advance(next_s - 0.01)
    session.look()
    assert heard.count(SessionEndangered) == 0

    await clock.advance(0.02)
    left_s = session.look()
    session.look()
    first = await heard(SessionEndangered, within_s=0.1)
    session.renewed(session.memberships()[0], clock.monotonic())
    await clock.advance(session.look() + 0.01)
    session.look()

    assert first.left_s == pytest.approx(left_s)
    assert first.left_s == pytest.approx(TERMS.ttl_s * 0.2, abs=0.02)
    assert heard.count(SessionEndangered) == 2
    assert heard.count(SessionLost) == 0


async def test_a_listener_that_fails_keeps_nobody_from_hearing_of_the_loss(
    session: Session, heard: Heard
) -> None:
    told: list[str] = []

    def broken(tag: str, name: str) -> None:
        raise ValueError(tag)

    leave = session.on_lost(lambda *_: told.append("left"))
    leave()
    leave()
    session.on_lost(broken)
    session.on_lost(lambda _, name: told.append(name))
    await session.join("{a}")

    session.lost(session.memberships()[0], "the server had ended it")

    assert told == ["me.1"]
    failed = await heard(ListenerFailed)
    assert (failed.heard, failed.error) == ("session.lost", "ValueError: {a}")


async def test_ending_frees_everything_at_once_and_for_ever(
    session: Session, store: FakeStore, heard: Heard
) -> None:
    await session.join("{a}")
    await session.join("{b}")

    await session.end()
    await session.end()

    assert not store.is_alive("{a}", "me.1")
    assert not store.is_alive("{b}", "me.2")
    assert heard.count(SessionEnded) == 1
    assert heard.count(SessionLost) == 0
    for tag in ("{a}", "{c}"):
        with pytest.raises(SessionLostError, match="is over"):
            await session.join(tag)


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), StoreRefused("no")])
async def test_what_cannot_be_ended_now_does_not_keep_the_rest_from_ending(
    session: Session, store: FakeStore, heard: Heard, trouble: StoreUnavailable
) -> None:
    await session.join("{a}")
    await session.join("{b}")
    store.trouble = trouble

    await session.end()

    assert store.count("end") == 2
    assert heard.count(SessionEnded) == 1


async def test_who_enters_while_it_ends_does_not_stay(
    session: Session, store: FakeStore, clock: ManualClock
) -> None:
    store.late_s = 1.0
    joining = asyncio.create_task(session.join("{a}"))
    await settle()

    await session.end()
    await clock.advance(1.0)

    with pytest.raises(SessionLostError):
        await joining
    assert not store.is_alive("{a}", "me.1")
    assert session.memberships() == ()


def test_the_server_gets_whole_milliseconds(heard: Heard, clock: ManualClock) -> None:
    terms = LeaseTerms(ttl_s=1.9999, renew_every_s=0.5, retry_every_s=0.1)

    session = Session("me", FakeStore(clock), terms, heard.emit, clock)

    assert session.ttl_ms == 1999
