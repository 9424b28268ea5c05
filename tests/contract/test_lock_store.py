"""What every lock store promises: turns, tokens, and claims that end with a session."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.anywhere import flush, publish

from quorate.core.errors import (
    DeadlockError,
    LockLostError,
    LockNotGranted,
    SessionLostError,
)
from quorate.core.events import silent
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.locks.answers import (
    Answer,
    Ask,
    Busy,
    Granted,
    GrantNotice,
    LookNotice,
    LossNotice,
    Notice,
    Queued,
)
from quorate.locks.consul import ConsulLocks
from quorate.locks.model import LockType
from quorate.locks.redis import RedisLocks
from quorate.wire.consul import ConsulWire
from quorate.wire.redis import Wire

BLOCK = 32


NO_CONVERSION = "a hold cannot change its kind"


class Party:
    """One process as the store sees it: a session, and the news that it gets."""

    def __init__(self, wire: Wire | ConsulWire, name: str) -> None:
        self.wire = wire
        terms = LeaseTerms(ttl_s=30.0)
        self.session = Session(name, wire.sessions(), terms, silent, wire.clock)
        on_consul = isinstance(wire, ConsulWire)
        self.store = (ConsulLocks if on_consul else RedisLocks)(wire, self.session)
        self.store.listen(self._hear)
        self.news: asyncio.Queue[Notice] = asyncio.Queue()
        self._ids = itertools.count(1)

    def _hear(self, notice: Notice) -> None:
        self.news.put_nowait(notice)

    def wish(self, name: str = "a", **changes) -> Ask:
        given = {
            "shared": False, "wait": True, "hard_s": 0.0, "owner": "o", "label": "",
        } | changes  # fmt: skip
        return Ask(name=name, id=f"{self.session.id}:{next(self._ids)}", **given)

    async def asks(self, name: str = "a", **changes) -> tuple[Ask, Answer]:
        ask = self.wish(name, **changes)
        return ask, await self.store.acquire(ask)

    async def takes(self, name: str = "a", **changes) -> tuple[Ask, Granted]:
        ask, answer = await self.asks(name, **changes)
        assert isinstance(answer, Granted)
        return ask, answer

    async def stands(self, name: str = "a", **changes) -> Ask:
        ask, answer = await self.asks(name, **changes)
        assert isinstance(answer, Queued)
        return ask

    async def leaves(self, ask: Ask, *, echo: bool = False) -> str:
        return await self.store.leave(ask.name, ask.id, echo=echo)

    async def hears(self) -> Notice:
        async with asyncio.timeout(5):
            return await self.news.get()

    async def hears_nothing(self) -> None:
        """What was published before a confirmed call is here after the next."""
        if isinstance(self.wire, ConsulWire):
            await self.has_seen_a_change()
            assert self.news.empty()
            return
        barrier = asyncio.Event()
        channel = f"{self.wire.keys.lock_tag('a')}:barrier-{uuid.uuid4().hex}"
        await self.wire.inbox.subscribe(channel, lambda _: barrier.set())
        await publish(self.wire, channel, "x")
        async with asyncio.timeout(5):
            await barrier.wait()
        assert self.news.empty()

    async def dies(self) -> str:
        """The session ends on the server, and nobody tells this process."""
        (member,) = self.session.memberships()
        if isinstance(self.wire, ConsulWire):
            ident = self.wire.roster.id_of(member.name)
            assert await self.wire.calls.done(f"/v1/session/destroy/{ident}")
        else:
            await self.wire.sessions().end(member.tag, member.name)
        return member.name

    async def has_seen_a_change(self) -> None:
        """A change made now on Consul is seen by a query that blocks, as watches do."""
        key = f"{self.wire.root}/barrier"
        await self.wire.calls.put(f"/v1/kv/{key}", 1)
        index, _ = await self.wire.watches.look(f"/v1/kv/{key}")
        seen = asyncio.ensure_future(
            self.wire.watches.look(f"/v1/kv/{key}", index, within_s=5)
        )
        await self.wire.calls.put(f"/v1/kv/{key}", 2)
        assert (await seen)[1]


def names_of_one_tag(wire: Wire, name: str, count: int) -> list[str]:
    """`name` and others that a Cluster keeps in the same stripe; Consul has none."""
    if not isinstance(wire, Wire):
        return [name, *(f"lock {number}" for number in range(8, 7 + count))]
    tag, found = wire.keys.lock_tag(name), [name]
    for number in itertools.count(8):
        if len(found) == count:
            break
        if wire.keys.lock_tag(f"lock {number}") == tag:
            found.append(f"lock {number}")
    return found


NewParty = Callable[[str], Awaitable[Party]]


@pytest.fixture
async def party(locks_url: str, namespace: str) -> AsyncIterator[NewParty]:
    wires: list[Wire | ConsulWire] = []

    async def new(name: str) -> Party:
        kind = ConsulWire if locks_url.startswith("consul:") else Wire
        wire = kind(locks_url, namespace=namespace)
        await wire.start()
        wires.append(wire)
        return Party(wire, name)

    yield new
    for wire in wires:
        await wire.stop()


@pytest.fixture
async def ann(party: NewParty) -> Party:
    return await party("ann")


@pytest.fixture
async def bob(party: NewParty) -> Party:
    return await party("bob")


@pytest.fixture
async def cid(party: NewParty) -> Party:
    return await party("cid")


async def test_a_free_lock_is_granted_with_a_block_of_tokens(ann):
    _, granted = await ann.takes()

    assert granted.last_token == granted.token + BLOCK - 1
    assert granted.session == ann.session.name_in(granted.tag)


async def test_a_held_lock_puts_the_next_in_line_and_says_who_holds_it(ann, bob):
    _, granted = await ann.takes(owner="task-1", label="the report")

    _, queued = await bob.asks()

    assert isinstance(queued, Queued)
    assert queued.holder is not None
    assert queued.holder.label == "the report"
    assert queued.holder.session == granted.session
    assert queued.holder.token == granted.token


async def test_who_only_tries_does_not_stand_in_line(ann, bob):
    held, _ = await ann.takes()

    _, answer = await bob.asks(wait=False)
    await ann.leaves(held)

    assert isinstance(answer, Busy)
    assert (await ann.store.explain("a")).is_free
    await bob.hears_nothing()


async def test_giving_back_makes_the_next_the_holder_and_tells_only_it(ann, bob, cid):
    held, first = await ann.takes()
    waiting = await bob.stands()
    await cid.stands()

    assert await ann.leaves(held) == "held"

    notice = await bob.hears()
    assert isinstance(notice, GrantNotice)
    assert notice.id == waiting.id
    assert notice.name == "a"
    assert notice.token > first.last_token
    (holder,) = (await ann.store.explain("a")).holders
    assert holder.token == notice.token
    assert holder.session.startswith("bob")
    await cid.hears_nothing()


async def test_the_line_is_served_in_the_order_of_asking(ann, bob):
    held, _ = await ann.takes()
    line = [await party.stands() for party in (bob, ann, bob, ann, bob)]

    served = []
    await ann.leaves(held)
    for ask in line:
        who = bob if ask.id.startswith("bob") else ann
        served.append((await who.hears()).id)
        await who.leaves(ask)

    assert served == [ask.id for ask in line]


async def test_nobody_overtakes_the_line(ann, bob, cid):
    held, _ = await ann.takes()
    waiting = await bob.stands()
    await ann.leaves(held)

    _, answer = await cid.asks(wait=False)

    assert isinstance(answer, Busy)
    assert (await bob.hears()).id == waiting.id


async def test_tokens_grow_from_grant_to_grant_and_blocks_do_not_overlap(ann, bob):
    last = 0
    for _ in range(20):
        for party in (ann, bob):
            ask, granted = await party.takes()
            assert granted.token > last
            last = granted.last_token
            await party.leaves(ask)


@pytest.mark.differs_on_consul("tokens are places in its log, which ends with its data")
async def test_tokens_grow_even_when_the_server_loses_everything(ann, bob):
    _, before = await ann.takes()

    await flush(ann.wire)

    _, after = await bob.takes()
    assert after.token > before.token


async def test_names_are_different_locks(ann, bob):
    names = ["a", "a:b", "ü", "{x}", "a b", "h:a", "x" * 250, "x" * 249 + "y", "%41"]

    for name in names:
        await ann.takes(name)

    for name in names:
        explanation = await bob.store.explain(name)
        assert len(explanation.holders) == 1, name
        _, answer = await bob.asks(name, wait=False)
        assert isinstance(answer, Busy)
    assert len(await bob.store.survey(100)) == len(names)


async def test_asking_again_with_the_same_id_grants_the_same(ann):
    ask, first = await ann.takes()

    again = await ann.store.acquire(ask)

    assert (again.token, again.last_token) == (first.token, first.last_token)
    assert await ann.leaves(ask) == "held"
    assert (await ann.store.explain("a")).is_free


async def test_asking_again_keeps_the_place_in_line(ann, bob, cid):
    held, _ = await ann.takes()
    first, second = await bob.stands(), await cid.stands()

    assert isinstance(await bob.store.acquire(first), Queued)
    await ann.leaves(held)

    assert (await bob.hears()).id == first.id
    await bob.leaves(first)
    assert (await cid.hears()).id == second.id


async def test_who_missed_the_news_learns_of_its_grant_by_asking(ann, bob):
    held, _ = await ann.takes()
    waiting = await bob.stands()
    await ann.leaves(held)
    news = await bob.hears()

    answer = await bob.store.acquire(waiting)

    assert isinstance(answer, Granted)
    assert (answer.token, answer.last_token) == (news.token, news.last_token)


async def test_only_the_id_that_holds_can_give_back(ann, bob):
    held, _ = await ann.takes()

    was = await bob.store.leave("a", "bob:99", echo=False)

    assert was == "unknown"
    assert len((await bob.store.explain("a")).holders) == 1
    assert await ann.leaves(held) == "held"
    assert await ann.leaves(held) == "unknown"


async def test_who_leaves_the_line_is_not_served(ann, bob, cid):
    held, _ = await ann.takes()
    gone, stays = await bob.stands(), await cid.stands()

    assert await bob.leaves(gone) == "waiting"
    await ann.leaves(held)

    assert (await cid.hears()).id == stays.id
    await bob.hears_nothing()


async def test_leaving_after_the_grant_gives_the_lock_back(ann, bob, cid):
    held, _ = await ann.takes()
    late, stays = await bob.stands(), await cid.stands()
    await ann.leaves(held)

    assert await bob.leaves(late) == "held"

    assert (await cid.hears()).id == stays.id


async def test_an_ask_that_arrives_after_it_was_given_up_is_refused(ann):
    late = ann.wish()

    assert await ann.leaves(late, echo=True) == "unknown"

    with pytest.raises(LockNotGranted):
        await ann.store.acquire(late)
    assert (await ann.store.explain("a")).is_free


async def test_a_second_copy_that_arrives_after_the_return_is_refused(ann):
    ask, _ = await ann.takes()

    await ann.leaves(ask, echo=True)

    with pytest.raises(LockNotGranted):
        await ann.store.acquire(ask)
    assert (await ann.store.explain("a")).is_free


async def test_a_dead_session_holds_nothing(ann, bob):
    await ann.takes()
    await ann.dies()

    _, granted = await bob.takes()

    assert (await bob.store.explain("a")).holders[0].token == granted.token


async def test_a_dead_waiter_is_passed_over(ann, bob, cid):
    held, _ = await ann.takes()
    await bob.stands()
    alive = await cid.stands()
    await bob.dies()

    await ann.leaves(held)

    assert (await cid.hears()).id == alive.id
    assert (await ann.store.explain("a")).waiters == ()


async def test_when_the_holder_dies_the_first_in_line_comes_before_who_asks_anew(
    ann, bob, cid
):
    await ann.takes()
    waiting = await bob.stands()
    await ann.dies()

    _, answer = await cid.asks(wait=False)

    assert isinstance(answer, Busy)
    assert (await bob.hears()).id == waiting.id


async def test_cleaning_ends_the_claims_of_a_dead_session_and_serves_the_next(ann, bob):
    for name in names_of_one_tag(ann.wire, "lock 7", 250):
        await ann.takes(name)
    waits = await bob.stands("lock 7")
    (tag,) = {member.tag for member in ann.session.memberships()}
    dead = await ann.dies()

    await bob.store.clean(tag, dead)

    assert (await bob.hears()).id == waits.id
    (line,) = await bob.store.survey(1000)
    assert (line.name, line.waiting) == ("lock 7", 0)


@pytest.mark.differs_on_consul("there is no index, as nothing is cleaned")
async def test_cleaning_leaves_no_trace_of_the_session(ann, bob):
    _, granted = await ann.takes()
    tag, dead = granted.tag, await ann.dies()

    await bob.store.clean(tag, dead)

    index = RedisLocks.index_key(tag)
    assert await bob.wire.calls.command("SISMEMBER", index, dead) == 0
    assert await bob.wire.calls.command("EXISTS", f"{tag}:l:i:{dead}") == 0


async def test_a_session_that_lives_is_never_cleaned(ann, bob):
    _, granted = await ann.takes()

    await bob.store.clean(granted.tag, granted.session)

    assert len((await bob.store.explain("a")).holders) == 1


@pytest.mark.differs_on_consul(
    "the watch of the session tells it, as nothing is cleaned"
)
async def test_the_owner_of_a_dead_session_is_told_when_it_is_cleaned(ann, bob):
    ask, granted = await ann.takes()
    await ann.dies()

    await bob.store.clean(granted.tag, granted.session)

    assert await ann.hears() == LossNotice("a", ask.id)


async def test_asking_under_a_dead_session_enters_under_a_new_name(ann):
    _, before = await ann.takes("other")
    await ann.dies()

    _, granted = await ann.takes()

    assert granted.session != before.session
    assert ann.session.name_in(granted.tag) == granted.session


async def test_asking_again_under_another_session_is_refused(ann, bob):
    await bob.takes()
    waiting = await ann.stands()
    under = ann.session.memberships()[0].name
    await ann.dies()
    await ann.takes("other")

    with pytest.raises(SessionLostError):
        await ann.store.acquire(
            Ask(waiting.name, waiting.id, False, True, 0.0, "o", "", under)
        )


@pytest.mark.differs_on_consul("a hard end is kept by the holder's own process")
async def test_a_hard_end_frees_the_lock_for_who_looks(ann, bob):
    await ann.takes(hard_s=1.0)
    ask, queued = await bob.asks()
    assert isinstance(queued, Queued)
    assert queued.look_in_s is not None
    assert 0.0 < queued.look_in_s <= 1.0

    answer = queued
    async with asyncio.timeout(5):
        while not isinstance(answer, Granted):
            answer = await bob.store.acquire(ask)

    assert isinstance(answer, Granted)


@pytest.mark.differs_on_consul("a hard end is kept by the holder's own process")
async def test_who_stands_behind_a_hard_end_is_told_when_to_look(ann, bob, cid):
    held, _ = await ann.takes()
    await bob.stands(hard_s=5.0)
    behind = await cid.stands()

    await ann.leaves(held)

    notice = await cid.hears()
    assert isinstance(notice, LookNotice)
    assert notice.id == behind.id
    assert 4.0 < notice.in_s <= 5.0


async def test_a_hard_end_is_counted_from_the_grant(ann, bob):
    held, _ = await ann.takes()
    waiting = await bob.stands(hard_s=60.0)
    await ann.leaves(held)
    await bob.hears()

    answer = await bob.store.acquire(waiting)

    assert isinstance(answer, Granted)
    now = bob.session.clock.monotonic()
    assert now - 5.0 < answer.granted_at <= now


async def test_readers_share_and_a_writer_waits_for_all_of_them(ann, bob, cid):
    first, one = await ann.takes(shared=True)
    second, two = await bob.takes(shared=True)
    writer = await cid.stands()

    await ann.leaves(first)
    await cid.hears_nothing()
    await bob.leaves(second)

    notice = await cid.hears()
    assert notice.id == writer.id
    assert notice.token > max(one.last_token, two.last_token)


@pytest.mark.differs_on_consul("each reader has a token of its own")
async def test_readers_that_share_have_the_same_token(ann, bob):
    _, one = await ann.takes(shared=True)
    _, two = await bob.takes(shared=True)

    assert one.token == two.token


async def test_readers_stand_behind_a_waiting_writer(ann, bob, cid):
    await ann.takes(shared=True)
    await bob.stands()

    _, answer = await cid.asks(shared=True)

    assert isinstance(answer, Queued)


@pytest.mark.differs_on_consul("turns are strictly in the order of arrival")
async def test_after_a_writer_all_waiting_readers_have_their_turn(ann, bob, cid):
    held, _ = await ann.takes()
    writer = await bob.stands()
    readers = [await cid.stands(shared=True) for _ in range(3)]

    await ann.leaves(held)

    assert {(await cid.hears()).id for _ in readers} == {ask.id for ask in readers}
    await bob.hears_nothing()
    explanation = await ann.store.explain("a")
    assert {holder.lock_type for holder in explanation.holders} == {LockType.SHARED}
    for ask in readers:
        await cid.leaves(ask)
    assert (await bob.hears()).id == writer.id


async def test_readers_enter_when_the_writer_before_them_gives_up(ann, bob, cid):
    await ann.takes(shared=True)
    writer = await bob.stands()
    reader = await cid.stands(shared=True)

    await bob.leaves(writer)

    assert (await cid.hears()).id == reader.id


async def test_a_dead_reader_does_not_keep_a_writer_waiting(ann, bob, cid):
    _, granted = await ann.takes(shared=True)
    alive, _ = await bob.takes(shared=True)
    writer = await cid.stands()
    await ann.dies()
    await bob.store.clean(granted.tag, granted.session)

    await bob.leaves(alive)

    assert (await cid.hears()).id == writer.id


@pytest.mark.differs_on_consul("dead waiters are gone and no end is known")
async def test_an_explanation_names_holders_and_waiters_in_order(ann, bob, cid):
    await ann.takes(owner="task-1", label="first")
    await bob.stands(label="second")
    await cid.stands(label="third", shared=True)
    await bob.dies()

    explanation = await cid.store.explain("a")

    (holder,) = explanation.holders
    assert (holder.owner, holder.label) == ("task-1", "first")
    assert holder.held_s < 5.0
    assert holder.ends_in_s is not None
    assert 20.0 < holder.ends_in_s <= 30.0
    shown = [(w.label, w.lock_type, w.is_alive) for w in explanation.waiters]
    assert shown == [
        ("second", LockType.EXCLUSIVE, False),
        ("third", LockType.SHARED, True),
    ]


@pytest.mark.differs_on_consul("nothing at all is left of a free lock")
async def test_a_free_lock_leaves_only_its_last_token_behind_and_not_for_ever(ann):
    ask, granted = await ann.takes()
    key = f"{granted.tag}:l:h:a"
    assert await ann.wire.calls.command("PTTL", key) == -1

    await ann.leaves(ask)

    assert await ann.wire.calls.command("HKEYS", key) == [b"f"]
    assert 0 < await ann.wire.calls.command("PTTL", key) <= 3_600_000
    assert await ann.wire.calls.command("EXISTS", f"{granted.tag}:l:q:a") == 0
    await ann.takes()
    assert await ann.wire.calls.command("PTTL", key) == -1


async def test_the_list_of_locks_counts_holders_and_waiters(ann, bob):
    await ann.takes("x")
    await bob.stands("x")
    await bob.takes("y", shared=True)

    lines = await bob.store.survey(100)

    assert [(line.name, len(line.holders), line.waiting) for line in lines] == [
        ("x", 1, 1),
        ("y", 1, 0),
    ]


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_a_reader_alone_becomes_the_writer_at_once(ann, bob):
    ask, shared = await ann.takes(shared=True)

    granted = await ann.store.upgrade("a", ask.id)

    assert isinstance(granted, Granted)
    assert granted.token > shared.last_token
    assert granted.last_token == granted.token + BLOCK - 1
    again = await ann.store.upgrade("a", ask.id)
    assert (again.token, again.last_token) == (granted.token, granted.last_token)
    assert isinstance((await bob.asks(shared=True, wait=False))[1], Busy)
    assert await ann.leaves(ask) == "held"


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_an_upgrade_waits_for_the_other_readers_and_comes_before_writers(
    ann, bob, cid
):
    first, _ = await ann.takes(shared=True)
    second, _ = await bob.takes(shared=True)
    writer = await cid.stands()

    assert isinstance(await ann.store.upgrade("a", first.id), Queued)
    await bob.leaves(second)

    notice = await ann.hears()
    assert isinstance(notice, GrantNotice)
    assert notice.id == first.id
    (holder,) = (await bob.store.explain("a")).holders
    assert (holder.token, holder.lock_type) == (notice.token, LockType.EXCLUSIVE)
    await cid.hears_nothing()
    await ann.leaves(first)
    assert (await cid.hears()).id == writer.id


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_no_new_reader_comes_before_an_upgrade(ann, bob, cid):
    first, _ = await ann.takes(shared=True)
    second, _ = await bob.takes(shared=True)
    await ann.store.upgrade("a", first.id)

    reader = await cid.stands(shared=True)
    await bob.leaves(second)

    assert (await ann.hears()).id == first.id
    await cid.hears_nothing()
    await ann.leaves(first)
    assert (await cid.hears()).id == reader.id


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_the_second_reader_that_wants_to_write_is_refused_at_once(ann, bob):
    first, _ = await ann.takes(shared=True, label="the first")
    second, _ = await bob.takes(shared=True)
    await ann.store.upgrade("a", first.id)

    with pytest.raises(DeadlockError, match="upgraded") as found:
        await bob.store.upgrade("a", second.id)

    assert "the first" in found.value.why
    await bob.leaves(second)
    assert (await ann.hears()).id == first.id


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_an_upgrade_that_is_taken_back_lets_readers_in_again(ann, bob, cid):
    first, _ = await ann.takes(shared=True)
    await bob.takes(shared=True)
    await ann.store.upgrade("a", first.id)
    reader = await cid.stands(shared=True)

    await ann.store.downgrade("a", first.id)

    assert (await cid.hears()).id == reader.id
    assert len((await bob.store.explain("a")).holders) == 3


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_an_upgrade_ends_with_the_hold_that_asked_for_it(ann, bob, cid):
    first, _ = await ann.takes(shared=True)
    second, _ = await bob.takes(shared=True)
    await ann.store.upgrade("a", first.id)
    reader = await cid.stands(shared=True)

    await ann.leaves(first)

    assert (await cid.hears()).id == reader.id
    assert isinstance(await bob.store.upgrade("a", second.id), Queued)


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_a_dead_reader_keeps_no_upgrade_waiting_and_a_dead_upgrade_nobody(
    ann, bob, cid
):
    first, granted = await ann.takes(shared=True)
    second, _ = await bob.takes(shared=True)
    await cid.takes(shared=True)
    await ann.store.upgrade("a", first.id)

    await ann.dies()
    assert isinstance(await bob.store.upgrade("a", second.id), Queued)
    gone = await cid.dies()
    await bob.store.clean(granted.tag, gone)

    assert (await bob.hears()).id == second.id


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_a_writer_that_becomes_a_reader_lets_all_waiting_readers_in(
    ann, bob, cid
):
    held, exclusive = await ann.takes()
    writer = await bob.stands()
    reader = await cid.stands(shared=True)

    token = await ann.store.downgrade("a", held.id)

    assert token == exclusive.last_token
    assert token == await ann.store.downgrade("a", held.id)
    assert (await cid.hears()).id == reader.id
    await bob.hears_nothing()
    await ann.leaves(held)
    await cid.leaves(reader)
    assert (await bob.hears()).id == writer.id


@pytest.mark.differs_on_consul(NO_CONVERSION)
async def test_what_is_not_held_cannot_change_its_kind(ann):
    with pytest.raises(LockLostError):
        await ann.store.upgrade("a", "ann:99")
    with pytest.raises(LockLostError):
        await ann.store.downgrade("a", "ann:99")
