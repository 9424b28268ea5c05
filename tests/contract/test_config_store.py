"""What every configuration store promises: one row of transactions, in order."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import pytest

from quorate.config.model import Commit, Contents, Cursor, Draft, Write
from quorate.config.redis import RedisConfigStore, StoreLimits
from quorate.config.store import ConfigStore
from quorate.core.errors import (
    ConfigConflict,
    InvalidInput,
    InvalidPayload,
    SessionLostError,
    StaleTokenError,
)
from quorate.core.events import silent
from quorate.core.fence import Fence
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.wire.redis import Wire, open_wire
from quorate.wire.sessions import RedisSessions

SMALL = StoreLimits(
    value_bytes=1000, commit_bytes=3000, writes=10, leaves=30, transactions=20
)


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
def session(wire: Wire) -> Session:
    return Session(
        f"test-{uuid.uuid4().hex[:6]}",
        RedisSessions(wire.calls),
        LeaseTerms(ttl_s=30.0),
        silent,
        wire.clock,
    )


@pytest.fixture
def store(wire: Wire) -> ConfigStore:
    return RedisConfigStore(wire)


@pytest.fixture
def small(wire: Wire) -> ConfigStore:
    return RedisConfigStore(wire, limits=SMALL)


def a_draft(*writes: Write, **terms) -> Draft:
    return Draft(uuid.uuid4().hex, writes, **terms)


def put(key: str, value: object, expect: int | None = None) -> Write:
    return Write(key, value, expect=expect)


def remove(key: str, expect: int | None = None) -> Write:
    return Write(key, delete=True, expect=expect)


async def test_a_new_store_is_empty(store):
    contents = await store.snapshot()

    assert contents.tree() == {}
    assert contents.cursor.revision == 0
    assert (await store.changes(contents.cursor)).commits == ()
    assert await store.history("", 10) == ()


async def test_what_is_written_is_there_as_it_was(store):
    value = {"text": "ü$${x}", "list": [1, 2.5, None, {"a": []}], "empty": {}}

    revision = await store.commit(a_draft(put("a.b", value), put("on", False)))

    contents = await store.snapshot()
    assert revision == contents.cursor.revision == 1
    assert contents.tree() == {"a": {"b": value}, "on": False}


async def test_revisions_count_up_by_one(store):
    revisions = [await store.commit(a_draft(put("a", n))) for n in range(5)]

    assert revisions == [1, 2, 3, 4, 5]


async def test_a_section_takes_the_place_of_what_was_below_it(store):
    await store.commit(a_draft(put("a", {"b": 1, "c": {"d": 2}})))
    await store.commit(a_draft(put("a.c", {"e": 3})))
    assert (await store.snapshot()).tree() == {"a": {"b": 1, "c": {"e": 3}}}

    await store.commit(a_draft(put("a", 5)))
    assert (await store.snapshot()).tree() == {"a": 5}

    await store.commit(a_draft(put("a.b.c", 6)))
    assert (await store.snapshot()).tree() == {"a": {"b": {"c": 6}}}


async def test_a_neighbour_with_a_like_name_is_left_alone(store):
    await store.commit(a_draft(put("a-b", 1), put("ab", 2), put("a.b", 3)))

    await store.commit(a_draft(remove("a")))

    assert (await store.snapshot()).tree() == {"a-b": 1, "ab": 2}


async def test_deleting_removes_the_key_and_all_below(store):
    await store.commit(a_draft(put("a", {"b": 1, "c": 2}), put("d", 3)))

    revision = await store.commit(a_draft(remove("a")))

    contents = await store.snapshot()
    assert contents.tree() == {"d": 3}
    assert contents.revision_of("a") == contents.revision_of("a.b") == revision


async def test_a_write_happens_only_at_the_expected_revision(store):
    first = await store.commit(a_draft(put("a", 1, expect=0)))

    with pytest.raises(ConfigConflict, match="revision 0 was expected"):
        await store.commit(a_draft(put("a", 2, expect=0)))
    second = await store.commit(a_draft(put("a", 2, expect=first)))
    with pytest.raises(ConfigConflict, match=f"It is at revision {second}"):
        await store.commit(a_draft(put("a", 3, expect=first)))

    assert (await store.snapshot()).tree() == {"a": 2}


async def test_a_section_has_the_revision_of_its_last_change(store):
    first = await store.commit(a_draft(put("a", {"b": 1, "c": 2})))
    second = await store.commit(a_draft(put("a.b", 3)))
    third = await store.commit(a_draft(remove("a.c")))

    assert (await store.snapshot()).revision_of("a") == third
    for stale in (first, second):
        with pytest.raises(ConfigConflict):
            await store.commit(a_draft(put("a", {}, expect=stale)))
    await store.commit(a_draft(put("a", {}, expect=third)))


async def test_a_key_that_was_removed_may_be_expected_absent_or_at_its_removal(store):
    await store.commit(a_draft(put("a", 1)))
    gone = await store.commit(a_draft(remove("a")))

    again = await store.commit(a_draft(put("a", 2, expect=0)))
    assert again == gone + 1
    gone = await store.commit(a_draft(remove("a", expect=again)))
    assert await store.commit(a_draft(put("a", 3, expect=gone))) == gone + 1


async def test_a_transaction_happens_whole_or_not_at_all(store):
    await store.commit(a_draft(put("a", 1)))

    with pytest.raises(ConfigConflict):
        await store.commit(a_draft(put("b", 1), put("a", 2, expect=7), remove("a")))

    contents = await store.snapshot()
    assert contents.tree() == {"a": 1}
    assert contents.cursor.revision == 1


async def test_the_whole_store_may_be_expected_at_a_revision(store):
    await store.commit(a_draft(put("a", 1), expect=0))

    with pytest.raises(ConfigConflict, match="The configuration was not written"):
        await store.commit(a_draft(put("b", 1), expect=0))
    assert await store.commit(a_draft(put("b", 1), expect=1)) == 2


async def test_the_same_id_happens_once_however_often_it_is_sent(store):
    draft = a_draft(put("a", 1, expect=0))

    revisions = await asyncio.gather(*(store.commit(draft) for _ in range(10)))

    assert set(revisions) == {1}
    assert (await store.snapshot()).cursor.revision == 1


async def test_a_hundred_increments_by_compare_and_set_make_a_hundred(store):
    await store.commit(a_draft(put("n", 0)))
    conflicts = 0

    async def increment() -> bool:
        contents = await store.snapshot()
        write = put("n", contents.tree()["n"] + 1, contents.revision_of("n"))
        try:
            await store.commit(a_draft(write))
        except ConfigConflict:
            return False
        return True

    async def increment_ten_times() -> None:
        nonlocal conflicts
        done = 0
        while done < 10:
            if await increment():
                done += 1
            else:
                conflicts += 1

    await asyncio.gather(*(increment_ten_times() for _ in range(10)))

    assert (await store.snapshot()).tree() == {"n": 100}
    assert conflicts > 0


async def test_a_lower_token_than_the_last_is_refused(store):
    await store.commit(a_draft(put("a", 1), fence=Fence("lock", 7, "", "")))
    await store.commit(a_draft(put("a", 2), fence=Fence("lock", 7, "", "")))
    await store.commit(a_draft(put("a", 3), fence=Fence("other", 1, "", "")))
    await store.commit(a_draft(put("a", 4), fence=Fence("lock", 2**52, "", "")))

    with pytest.raises(StaleTokenError, match=str(2**52)):
        await store.commit(a_draft(put("a", 5), fence=Fence("lock", 2**52 - 1, "", "")))

    assert (await store.snapshot()).tree() == {"a": 4}


async def test_a_refused_write_does_not_raise_the_token(store):
    await store.commit(a_draft(put("a", 1)))
    with pytest.raises(ConfigConflict):
        await store.commit(
            a_draft(put("a", 2, expect=9), fence=Fence("lock", 9, "", ""))
        )

    await store.commit(a_draft(put("a", 3), fence=Fence("lock", 5, "", "")))


async def test_a_fenced_write_needs_the_session_of_its_grant(wire, session):
    store = RedisConfigStore(wire, session)
    tag = wire.keys.config_tag
    fence = Fence("lock", 5, await session.join(tag), tag)
    await store.commit(a_draft(put("a", 1), fence=fence))

    await RedisSessions(wire.calls).end(tag, fence.session)

    with pytest.raises(SessionLostError):
        await store.commit(a_draft(put("a", 2), fence=fence))
    assert (await store.snapshot()).tree() == {"a": 1}


async def test_a_grant_of_another_server_is_fenced_by_its_token_alone(wire, session):
    store = RedisConfigStore(wire, session)
    foreign = Fence("lock", 5, "somebody-else", "{elsewhere}")

    await store.commit(a_draft(put("a", 1), fence=foreign))

    with pytest.raises(StaleTokenError):
        await store.commit(
            a_draft(put("a", 2), fence=Fence("lock", 4, "somebody-else", "{elsewhere}"))
        )


async def test_changes_tell_everything_after_a_cursor_once_and_in_order(store):
    await store.commit(a_draft(put("a", 1), author="ann", comment="first"))
    cursor = (await store.snapshot()).cursor
    await store.commit(a_draft(put("b", {"c": [1]}), remove("a"), author="bob"))
    await store.commit(a_draft(put("d", None)))

    changes = await store.changes(cursor)

    assert changes.gap == ""
    assert [commit.revision for commit in changes.commits] == [2, 3]
    assert changes.commits[0].writes == (put("b", {"c": [1]}), remove("a"))
    assert changes.commits[0].author == "bob"
    assert changes.commits[1].writes == (put("d", None),)
    assert (await store.changes(Cursor())).commits[0].comment == "first"


async def test_many_changes_come_in_pages(store):
    for number in range(250):
        await store.commit(a_draft(put("n", number)))
    seen: list[Commit] = []
    contents, more = Contents(), True

    while more:
        changes = await store.changes(contents.cursor)
        contents = contents.after(changes.commits, changes.epoch)
        seen += changes.commits
        more = changes.more

    assert [commit.revision for commit in seen] == list(range(1, 251))
    assert contents == await store.snapshot()


async def test_a_cursor_that_was_trimmed_is_told(small):
    await small.commit(a_draft(put("a", 0)))
    old = (await small.snapshot()).cursor
    for number in range(25):
        await small.commit(a_draft(put("a", number)))

    assert (await small.changes(old)).gap == "trimmed"
    assert (await small.changes(Cursor())).gap == "trimmed"
    recent = (await small.snapshot()).cursor
    assert (await small.changes(recent)).gap == ""


async def test_a_cursor_of_another_row_is_told(store):
    await store.commit(a_draft(put("a", 1)))
    await store.commit(a_draft(put("a", 2)))
    cursor = (await store.snapshot()).cursor

    assert (await store.changes(Cursor("other", 1, cursor.id))).gap == "epoch"
    assert (await store.changes(Cursor(cursor.epoch, 9, cursor.id))).gap == "lost"
    assert (await store.changes(Cursor(cursor.epoch, 2, "other"))).gap == "lost"
    assert (await store.changes(Cursor(cursor.epoch, 1, "other"))).gap == "lost"
    assert (await store.changes(cursor)).gap == ""


async def test_an_emptied_store_begins_a_new_row(wire, store):
    await store.commit(a_draft(put("a", 1)))
    cursor = (await store.snapshot()).cursor
    keys = await wire.calls.command("KEYS", f"{wire.keys.config_tag}:cfg:*")
    await wire.calls.command("DEL", *keys)

    assert (await store.changes(cursor)).gap == "epoch"
    await store.commit(a_draft(put("b", 1)))
    assert (await store.changes(cursor)).gap == "epoch"
    assert (await store.snapshot()).cursor.epoch != cursor.epoch


async def test_following_the_changes_gives_what_a_snapshot_gives(small):
    chance = random.Random(42)
    keys = ["a", "a.b", "a.b.c", "a.b.d", "a.e", "f", "f.g", "f-g"]
    followed = await small.snapshot()

    for round_ in range(150):
        key = chance.choice(keys)
        value = chance.choice([round_, {"x": round_}, {"b": {"c": round_}}, {}, [1]])
        write = remove(key) if chance.random() < 0.3 else put(key, value)
        await small.commit(a_draft(write))
        if chance.random() < 0.5:
            changes = await small.changes(followed.cursor)
            snapshot = await small.snapshot()
            if changes.gap:
                followed = snapshot
            else:
                followed = followed.after(changes.commits, changes.epoch)
            assert followed == snapshot


async def test_what_was_removed_is_not_remembered_for_ever(wire, small):
    epoch = ""
    for number in range(40):
        await small.commit(a_draft(put(f"key{number}", 1)))
        await small.commit(a_draft(remove(f"key{number}")))
        epoch = epoch or (await small.snapshot()).cursor.epoch

    contents = await small.snapshot()
    assert len(contents.gone) <= SMALL.leaves
    assert contents.cursor.epoch != epoch
    assert contents.cursor.revision == 80


async def test_history_tells_the_last_transactions_of_a_key(store):
    for number in range(120):
        await store.commit(
            a_draft(put(f"k{number % 3}.x", number), author=f"a{number}")
        )

    last = await store.history("k1", 3)
    assert [commit.author for commit in last] == ["a118", "a115", "a112"]
    assert len(await store.history("k2.x.y", 200)) == 40
    assert len(await store.history("", 500)) == 120
    assert await store.history("k", 5) == ()
    assert last[0].at > 1_600_000_000


@pytest.mark.parametrize(
    ("draft", "error", "told"),
    [
        (a_draft(), InvalidInput, "0 keys"),
        (a_draft(*(put(f"k{n}", n) for n in range(11))), InvalidInput, "11 keys"),
        (a_draft(put("a", "x" * 1000)), InvalidPayload, "value of a is too large"),
        (
            a_draft(*(put(f"k{n}", "x" * 900) for n in range(4))),
            InvalidPayload,
            "transaction is too large",
        ),
        (a_draft(put("a", object())), InvalidPayload, "object"),
        (a_draft(put("a", float("nan"))), InvalidPayload, "nan"),
        (
            a_draft(put("a", {f"k{n}": n for n in range(31)})),
            InvalidPayload,
            "holds 0 values",
        ),
    ],
)
async def test_what_is_too_much_is_refused_and_nothing_is_written(
    small, draft, error, told
):
    with pytest.raises(error, match=told):
        await small.commit(draft)

    assert (await small.snapshot()).cursor.revision == 0


async def test_a_value_of_just_the_largest_size_is_taken(small):
    await small.commit(a_draft(put("a", "x" * 998)))
    await small.commit(a_draft(put("b", {f"k{n}": n for n in range(29)})))

    with pytest.raises(InvalidPayload, match="takes no more"):
        await small.commit(a_draft(put("c", 1)))
    await small.commit(a_draft(put("a", 1)))


async def test_whoever_listens_hears_of_every_commit(store):
    bell = asyncio.Event()
    undo = await store.hear(bell.set)

    await store.commit(a_draft(put("a", 1)))

    async with asyncio.timeout(5):
        await bell.wait()
    undo()
    bell.clear()
    await store.commit(a_draft(put("a", 2)))
    await store.snapshot()
    assert not bell.is_set()


async def test_stores_of_two_namespaces_do_not_see_each_other(redis_url, namespace):
    one = await open_wire(redis_url, namespace=namespace)
    two = await open_wire(redis_url, namespace=f"{namespace}-2")

    await RedisConfigStore(one).commit(a_draft(put("a", 1)))

    assert (await RedisConfigStore(two).snapshot()).tree() == {}
    await one.stop()
    await two.stop()
