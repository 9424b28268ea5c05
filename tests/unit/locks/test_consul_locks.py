"""Locks on Consul: what is asked, what is heard, and what heals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fake_consul import FakeConsul, Told

from quorate.core.errors import (
    LockNotGranted,
    OutcomeUnknown,
    SessionLostError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.core.events import silent
from quorate.core.lifecycle import Tasks
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.locks import consul_watch
from quorate.locks.answers import (
    Ask,
    Busy,
    Granted,
    GrantNotice,
    LookNotice,
    Notice,
    Queued,
)
from quorate.locks.consul import ECHO_S, ConsulLocks
from quorate.locks.consul_line import LEFT
from quorate.locks.consul_watch import AGAIN_S, PACE_S, POLL_S
from quorate.testing.clock import ManualClock, settle
from quorate.wire.consul_calls import ConsulCalls
from quorate.wire.consul_sessions import ConsulSessions, Roster

UNKNOWN = OutcomeUnknown("?")
AWAY = StoreUnavailable("away")


class Wire:
    """What `ConsulLocks` needs of a wire."""

    root = "shop"

    def __init__(self, consul: FakeConsul, clock: ManualClock) -> None:
        self.calls = self.watches = ConsulCalls(consul)  # type: ignore[arg-type]
        self.roster = Roster()
        self.clock = clock
        self.tasks = Tasks(silent, clock)


class Party:
    """One process: a session, its locks, and the news that it gets."""

    def __init__(self, consul: FakeConsul, clock: ManualClock, name: str) -> None:
        self.consul = consul
        self.wire = Wire(consul, clock)
        sessions = ConsulSessions(self.wire.calls, self.wire.roster, "shop", clock)
        terms = LeaseTerms(ttl_s=600.0, renew_every_s=200.0)
        self.session = Session(name, sessions, terms, silent, clock)
        self.locks = ConsulLocks(self.wire, self.session)  # type: ignore[arg-type]
        self.news: list[Notice] = []
        self.undo = self.locks.listen(self.news.append)
        self._asked = 0

    def wish(self, **changes) -> Ask:
        self._asked += 1
        given = {
            "name": "a", "id": f"{self.session.id}:{self._asked}", "shared": False,
            "wait": True, "hard_s": 0.0, "owner": "o", "label": "",
        } | changes  # fmt: skip
        return Ask(**given)

    async def takes(self, **changes) -> Ask:
        ask = self.wish(**changes)
        assert isinstance(await self.locks.acquire(ask), Granted)
        return ask

    async def stands(self, **changes) -> Ask:
        ask = self.wish(**changes)
        assert isinstance(await self.locks.acquire(ask), Queued)
        await settle()
        return ask

    async def leaves(self, ask: Ask, *, echo: bool = False) -> str:
        was = await self.locks.leave(ask.name, ask.id, echo=echo)
        await settle(30)
        return was

    @property
    def session_id(self) -> str:
        newest = self.wire.roster.newest()
        assert newest is not None
        return newest[1]


@pytest.fixture
def consul() -> FakeConsul:
    return FakeConsul()


@pytest.fixture
async def ann(consul: FakeConsul, clock: ManualClock) -> AsyncIterator[Party]:
    party = Party(consul, clock, "ann")
    yield party
    await party.wire.tasks.close()


@pytest.fixture
async def bob(consul: FakeConsul, clock: ManualClock) -> AsyncIterator[Party]:
    party = Party(consul, clock, "bob")
    yield party
    await party.wire.tasks.close()


async def test_taking_and_giving_back_is_one_call_each(ann, consul):
    await ann.takes(name="warm-up")
    before = len(consul.asked)

    ask = await ann.takes()
    assert len(consul.asked) - before == 1
    assert await ann.leaves(ask) == "held"

    assert len(consul.asked) - before == 2


async def test_the_next_hears_of_its_grant_when_the_one_before_goes(ann, bob):
    mine = await ann.takes()
    waiting = await bob.stands()

    await ann.leaves(mine)

    (notice,) = bob.news
    assert isinstance(notice, GrantNotice)
    assert notice.id == waiting.id
    assert await bob.leaves(waiting) == "held"


async def test_only_the_one_right_behind_is_woken(ann, bob, consul):
    mine = await ann.takes()
    first = await bob.stands()
    second = await bob.stands()

    await ann.leaves(mine)

    assert [notice.id for notice in bob.news] == [first.id]
    await bob.leaves(first)
    assert [notice.id for notice in bob.news] == [first.id, second.id]


async def test_a_place_that_is_given_up_lets_the_next_move_up(ann, bob):
    mine = await ann.takes()
    gone, stays = await bob.stands(), await bob.stands()

    assert await bob.leaves(gone) == "waiting"
    assert bob.news == []
    await ann.leaves(mine)

    assert [notice.id for notice in bob.news] == [stays.id]


async def test_who_only_tries_is_out_of_the_line_again(ann, bob, consul):
    await ann.takes()
    await bob.takes(name="warm-up")
    before = len(consul.asked)

    answer = await bob.locks.acquire(bob.wish(wait=False))

    assert isinstance(answer, Busy)
    assert len(consul.asked) - before == 2
    assert (await ann.locks.explain("a")).waiters == ()


async def test_a_try_that_cannot_step_back_is_told_as_open(ann, bob, consul):
    await ann.takes()
    await bob.takes(name="warm-up")
    leave = bob.locks.leave

    async def unreachable(name, ident, *, echo):
        consul.fail("/v1/txn", AWAY)
        return await leave(name, ident, echo=echo)

    bob.locks.leave = unreachable

    with pytest.raises(OutcomeUnknown, match="could not be given up"):
        await bob.locks.acquire(bob.wish(wait=False))


async def test_a_lost_answer_is_asked_for_again_and_grants_once(ann, consul):
    await ann.takes(name="warm-up")
    consul.fail("/v1/txn", UNKNOWN, before=False)

    answer = await ann.locks.acquire(ann.wish())

    assert isinstance(answer, Granted)
    assert answer.echo
    assert len((await ann.locks.explain("a")).holders) == 1


async def test_an_ask_that_was_sent_and_cannot_be_sent_again_is_open(ann, consul):
    await ann.takes(name="warm-up")
    consul.fail("/v1/txn", UNKNOWN)
    consul.fail("/v1/txn", AWAY)

    with pytest.raises(OutcomeUnknown, match="Nobody knows"):
        await ann.locks.acquire(ann.wish())


async def test_an_ask_whose_session_is_lost_meanwhile_is_not_sent_again(ann, consul):
    await ann.takes(name="warm-up")
    (member,) = ann.session.memberships()
    original = ann.wire.calls.txn

    async def txn(ops):
        ann.wire.calls.txn = original
        ann.session.lost(member, "test")
        raise UNKNOWN

    ann.wire.calls.txn = txn

    with pytest.raises(OutcomeUnknown):
        await ann.locks.acquire(ann.wish())


async def test_a_claim_that_was_given_up_is_not_taken_by_a_late_copy(ann, consul):
    ask = await ann.takes()

    await ann.leaves(ask, echo=True)

    with pytest.raises(LockNotGranted):
        await ann.locks.acquire(ask)
    assert (await ann.locks.explain("a")).is_free
    assert [entry["Flags"] for entry in consul.keys.values()] == [LEFT]


async def test_what_keeps_out_late_copies_is_removed_in_time_at_no_cost(
    ann, consul, clock
):
    await ann.leaves(await ann.takes(), echo=True)
    await clock.advance(ECHO_S)
    before = len(consul.asked)

    await ann.leaves(await ann.takes())

    assert consul.keys == {}
    assert len(consul.asked) - before == 2


async def test_what_keeps_out_late_copies_goes_with_the_session(ann, consul):
    await ann.leaves(await ann.takes(), echo=True)

    await ann.session.end()

    assert consul.keys == {}


async def test_a_late_copy_is_kept_out_even_before_the_session_is_entered(ann):
    late = ann.wish()

    assert await ann.leaves(late, echo=True) == "unknown"

    with pytest.raises(LockNotGranted):
        await ann.locks.acquire(late)


async def test_after_the_process_has_closed_nothing_has_to_be_kept_out(ann, consul):
    ask = await ann.takes()
    await ann.session.end()

    assert await ann.leaves(ask, echo=True) == "unknown"

    assert consul.keys == {}


async def test_if_the_session_is_over_the_claim_is_simply_ended(ann, consul):
    ask = await ann.takes()
    consul.end(ann.session_id)

    assert await ann.leaves(ask, echo=True) == "unknown"
    assert consul.keys == {}


async def test_a_session_that_consul_has_ended_is_lost_and_entered_anew(ann, consul):
    await ann.takes(name="other")
    (before,) = ann.session.memberships()
    lost: list[str] = []
    ann.session.on_lost(lambda _tag, name: lost.append(name))
    consul.end(ann.session_id)

    answer = await ann.locks.acquire(ann.wish())

    assert isinstance(answer, Granted)
    assert lost == [before.name]
    assert answer.session != before.name


async def test_asking_again_under_a_session_that_is_over_is_refused(ann):
    await ann.takes(name="other")

    with pytest.raises(SessionLostError):
        await ann.locks.acquire(ann.wish(under="ann.0"))


async def test_a_claim_of_a_session_that_only_consul_still_believes_in_is_made_anew(
    ann, consul
):
    """It would end with that session, and not when this process's session does."""
    ask = await ann.takes()
    (member,) = ann.session.memberships()
    ann.session.lost(member, "not renewed in time")

    answer = await ann.locks.acquire(ask)

    assert isinstance(answer, Granted)
    assert answer.session != member.name
    consul.end("session-1")
    assert len((await ann.locks.explain("a")).holders) == 1


async def test_a_session_whose_id_is_forgotten_is_entered_anew(ann):
    await ann.takes(name="other")
    (member,) = ann.session.memberships()
    ann.wire.roster.leave(member.name)

    answer = await ann.locks.acquire(ann.wish())

    assert isinstance(answer, Granted)
    assert answer.session != member.name


async def test_a_claim_that_vanishes_again_and_again_is_given_up(ann, consul):
    await ann.takes(name="other")
    original = consul._transact

    def transact(steps):
        told = original(steps)
        consul.keys = {k: v for k, v in consul.keys.items() if "/a/" not in k}
        return told.__class__(200, {}, '{"Results": [], "Errors": null}')

    consul._transact = transact

    with pytest.raises(OutcomeUnknown, match="ends as soon as it is made"):
        await ann.locks.acquire(ann.wish())


async def test_asking_again_is_one_read_and_keeps_the_place(ann, bob, consul):
    await ann.takes()
    waiting = await bob.stands()
    (member,) = bob.session.memberships()
    index, before = consul.index, consul.count("GET", "/v1/kv/shop/locks/a/")

    again = await bob.locks.acquire(Ask(**{**_facts(waiting), "under": member.name}))

    assert isinstance(again, Queued)
    assert consul.index == index
    assert consul.count("GET", "/v1/kv/shop/locks/a/") == before + 1


async def test_a_place_that_is_gone_is_told_and_taken_again(ann, bob, consul):
    mine = await ann.takes()
    waiting = await bob.stands()
    (member,) = bob.session.memberships()
    consul.keys.pop(f"shop/locks/a/{waiting.id}")

    await ann.leaves(mine)

    assert bob.news == [LookNotice("a", waiting.id, 0.0)]
    again = await bob.locks.acquire(Ask(**{**_facts(waiting), "under": member.name}))
    assert isinstance(again, Granted)


async def test_a_watch_that_fails_looks_again_soon(ann, bob, consul, clock):
    mine = await ann.takes()
    consul.fail("/v1/kv/shop/locks/a/ann", AWAY)
    waiting = await bob.stands()

    await ann.leaves(mine)
    assert bob.news == []
    await clock.advance(AGAIN_S)

    assert [notice.id for notice in bob.news] == [waiting.id]


async def test_a_watch_that_returns_in_vain_reads_nothing(ann, bob, consul):
    await ann.takes()
    await bob.stands()
    before = consul.count("GET", "/v1/kv/shop/locks/a/")
    original = bob.wire.watches.look
    times = 0

    async def look(path, since=0, within_s=0.0):
        nonlocal times
        times += 1
        return (since, [{}]) if times < 3 else await original(path, since, within_s)

    bob.wire.watches.look = look
    bob.locks._watch.forget(next(iter(bob.locks._watch._following)))
    await bob.stands()
    await settle(20)

    assert times == 3
    # One look of its own for the place that was taken; none because of the watch.
    assert consul.count("GET", "/v1/kv/shop/locks/a/") - before <= 1


async def test_a_watch_that_answers_at_once_is_not_asked_in_a_circle(ann, bob, clock):
    await ann.takes()
    times = 0

    async def look(path, since=0, within_s=0.0):
        nonlocal times
        times += 1
        return since + 1, [{}]

    bob.wire.watches = type("Watches", (), {"look": staticmethod(look)})()
    await bob.stands()
    await settle(100)
    assert times == 1

    await clock.advance(PACE_S * 3)
    assert 2 <= times <= 4


async def test_waits_beyond_the_watches_are_looked_at_now_and_then(
    ann, bob, consul, clock, monkeypatch
):
    monkeypatch.setattr(consul_watch, "WATCHES_AT_ONCE", 1)
    first, second = await ann.takes(name="a"), await ann.takes(name="b")
    await bob.stands(name="a")
    polled = await bob.stands(name="b")

    await ann.leaves(second)
    assert bob.news == []
    await clock.advance(POLL_S)

    assert [notice.id for notice in bob.news] == [polled.id]
    await ann.leaves(first)
    assert len(bob.news) == 2


async def test_a_lost_session_ends_its_watches(ann, bob):
    await ann.takes()
    await bob.stands()
    (member,) = bob.session.memberships()

    bob.session.lost(member, "test")
    await settle()

    assert len(bob.wire.tasks) == 0


async def test_who_listens_no_more_hears_nothing_and_watches_nothing(ann, bob):
    mine = await ann.takes()
    await bob.stands()

    bob.undo()
    await ann.leaves(mine)

    assert bob.news == []
    assert len(bob.wire.tasks) == 0


async def test_a_hard_end_is_kept_by_the_holders_process(ann, bob, clock):
    await ann.takes(hard_s=5.0)
    waiting = await bob.stands()

    await clock.advance(4.9)
    assert bob.news == []
    await clock.advance(0.2)
    await settle(30)

    assert [notice.id for notice in bob.news] == [waiting.id]


async def test_a_hard_end_counts_from_when_the_holder_hears_of_its_turn(
    ann, bob, clock
):
    mine = await ann.takes()
    await bob.stands(hard_s=5.0)
    await clock.advance(100.0)

    await ann.leaves(mine)
    await clock.advance(4.9)
    assert not (await ann.locks.explain("a")).is_free
    await clock.advance(0.2)
    await settle(30)

    assert (await ann.locks.explain("a")).is_free


async def test_a_hard_end_that_cannot_be_told_is_tried_again(ann, consul, clock):
    await ann.takes(hard_s=5.0)
    consul.fail("/v1/txn", AWAY)

    await clock.advance(5.0)
    assert not (await ann.locks.explain("a")).is_free
    await clock.advance(AGAIN_S)
    await settle(30)

    assert (await ann.locks.explain("a")).is_free
    assert len(ann.wire.tasks) == 0


async def test_a_hold_that_is_given_back_has_no_hard_end_any_more(ann, clock):
    await ann.leaves(await ann.takes(hard_s=5.0))
    await ann.takes()

    await clock.advance(10.0)

    assert not (await ann.locks.explain("a")).is_free
    assert len(ann.wire.tasks) == 0


async def test_a_hold_that_somebody_removed_is_told_as_unknown(ann, consul):
    ask = await ann.takes()
    consul.keys.clear()

    assert await ann.leaves(ask) == "unknown"


async def test_a_refusal_for_lack_of_rights_comes_through(ann, consul):
    await ann.takes(name="other")
    consul.fail("/v1/txn", StoreRefused("no", "403 denied"))

    with pytest.raises(StoreRefused):
        await ann.locks.acquire(ann.wish())


async def test_a_transaction_that_is_refused_for_another_reason_is_told(ann, consul):
    await ann.takes(name="other")
    told = Told(409, {}, '{"Errors": [{"OpIndex": 1, "What": "key is locked"}]}')
    consul.answers["/v1/txn"] = told

    with pytest.raises(StoreRefused, match="key is locked"):
        await ann.locks.acquire(ann.wish())


async def test_a_right_that_lacks_in_a_transaction_is_named(ann, consul):
    await ann.takes(name="other")
    told = Told(409, {}, '{"Errors": [{"OpIndex": 0, "What": "Permission denied"}]}')
    consul.answers["/v1/txn"] = told

    with pytest.raises(StoreRefused, match="key_prefix write"):
        await ann.locks.acquire(ann.wish())


async def test_a_survey_is_one_call(ann, bob, consul):
    await ann.takes()
    await bob.stands()
    before = len(consul.asked)

    (line,) = await ann.locks.survey(100)

    assert len(consul.asked) - before == 1
    assert (line.name, len(line.holders), line.waiting) == ("a", 1, 1)


async def test_there_is_nothing_to_clean(ann):
    ask = await ann.takes()
    (member,) = ann.session.memberships()

    await ann.locks.clean("shop", member.name)

    assert await ann.leaves(ask) == "held"


async def test_the_records_are_for_people_to_read(ann, consul):
    await ann.takes(owner="task-7", label="the nightly report")

    (record,) = consul.values("shop/locks/a/")

    assert '"label": "the nightly report"' in record
    assert '"owner": "task-7"' in record


def _facts(ask: Ask) -> dict[str, object]:
    return {name: getattr(ask, name) for name in Ask.__slots__}
