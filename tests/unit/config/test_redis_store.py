"""What the Redis store sends, and how it words what comes back. No server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from quorate.config.model import Cursor, Draft, Leaf, Write
from quorate.config.redis import RedisConfigStore
from quorate.core.errors import (
    ConfigConflict,
    InvalidPayload,
    SessionLostError,
    StaleTokenError,
    StoreUnavailable,
)
from quorate.core.fence import Fence
from quorate.wire.keys import Keyspace

FENCE = Fence("lock", 7, "me.1", "{shop}")


class Calls:
    """Remembers what was sent and answers what it was told to."""

    def __init__(self) -> None:
        self.sent: list[tuple] = []
        self.replies: list = []

    async def call(self, script, keys, args):
        self.sent.append((script.name, list(keys), list(args)))
        return self.replies.pop(0)

    async def command(self, *words):
        self.sent.append(words)
        return self.replies.pop(0)


class Inbox:
    """Subscriptions by hand."""

    def __init__(self) -> None:
        self.handlers: list = []
        self.resyncs: list = []
        self.away = False

    async def subscribe(self, channel, hear) -> None:
        self.handlers.append(hear)
        if self.away:
            raise StoreUnavailable("away")

    def unsubscribe(self, channel, hear) -> None:
        self.handlers.remove(hear)

    def on_resync(self, resync):
        self.resyncs.append(resync)
        return lambda: self.resyncs.remove(resync)


@pytest.fixture
def wire():
    return SimpleNamespace(calls=Calls(), inbox=Inbox(), keys=Keyspace("shop"))


@pytest.fixture
def redis(wire) -> RedisConfigStore:
    return RedisConfigStore(wire)


def entry(revision: int, record: bytes) -> list:
    words = [b"id", b"x%d" % revision, b"at", b"1500", b"by", b"ann", b"why", b"so"]
    return [b"%d-0" % revision, [*words, b"did", record]]


async def test_every_key_carries_the_tag(redis, wire):
    wire.calls.replies = [[b"ok", 1]]

    await redis.commit(Draft("id", (Write("a", 1),)))

    (_, keys, args) = wire.calls.sent[0]
    assert all(key.startswith("{shop}:") for key in keys)
    assert len(set(keys)) == 9
    assert args[0] == "id"
    assert args[11:] == [1, "a", 0, "", 1, "a", b"1"]


async def test_a_section_is_sent_as_its_leaves(redis, wire):
    wire.calls.replies = [[b"ok", 1]]
    writes = (Write("a", {"b": 1, "c": {}}, expect=3), Write("d", delete=True))

    await redis.commit(Draft("id", writes))

    args = wire.calls.sent[0][2]
    assert args[11] == 2
    assert args[12:20] == ["a", 0, 3, 2, "a.b", b"1", "a.c", b"{}"]
    assert args[20:] == ["d", 1, "", 0]
    assert args[8] == b'[["a",{"b":1,"c":{}}],["d"]]'


@pytest.mark.parametrize(
    ("reply", "error", "told"),
    [
        ([b"conflict", b"a", 5], ConfigConflict, "a was not written"),
        ([b"conflict", b"a", 5], ConfigConflict, "revision 3 was expected"),
        ([b"conflict", b"", 5], ConfigConflict, "The configuration was not written"),
        ([b"stale", b"9"], StaleTokenError, "its token is 7"),
        ([b"session"], SessionLostError, "session is over"),
        ([b"full", 10000], InvalidPayload, "holds 10000 values"),
    ],
)
async def test_a_refusal_says_why_and_what_to_do(redis, wire, reply, error, told):
    wire.calls.replies = [reply]
    draft = Draft("id", (Write("b", 1), Write("a", 1, expect=3)), expect=3, fence=FENCE)

    with pytest.raises(error) as refused:
        await redis.commit(draft)

    assert told in str(refused.value)
    assert refused.value.fix


async def test_a_snapshot_is_read_whole(redis, wire):
    wire.calls.replies = [
        [b"epoch", 7, b"id7", [b"a", b"1"], [b"a", b"5", b"b", b"-7"]]
    ]

    contents = await redis.snapshot()

    assert contents.cursor == Cursor("epoch", 7, "id7")
    assert contents.leaves == {"a": Leaf(1, 5)}
    assert contents.gone == {"b": 7}


async def test_changes_are_read_in_order(redis, wire):
    page = [entry(1, b'[["a",null]]'), entry(2, b'[["b"],["c",{"d":1}]]')]
    wire.calls.replies = [[b"ok", b"row", page, 1], [b"gap", b"trimmed"]]

    changes = await redis.changes(Cursor())
    gap = await redis.changes(Cursor("row", 1, "x1"))

    assert [commit.revision for commit in changes.commits] == [1, 2]
    assert changes.commits[0].writes == (Write("a", None),)
    assert changes.commits[1].writes == (Write("b", delete=True), Write("c", {"d": 1}))
    assert (changes.commits[0].at, changes.commits[0].comment) == (1.5, "so")
    assert (changes.epoch, changes.more, gap.gap) == ("row", True, "trimmed")


async def test_history_asks_page_by_page_until_it_has_enough(redis, wire):
    first = [entry(n, b'[["a",1]]') for n in range(300, 200, -1)]
    second = [entry(n, b'[["b",1]]') for n in range(200, 100, -1)]
    wire.calls.replies = [first, second, []]

    found = await redis.history("b", 100)

    assert len(found) == 100
    assert wire.calls.sent[1][2] == "(201-0"


@pytest.mark.parametrize(
    ("fence", "sent"),
    [
        (FENCE, "me.1"),
        (Fence("lock", 7, "me.1", "{other}"), "me.2"),
        (Fence("lock", 7, "you.1", "{shop}"), "me.2"),
    ],
)
async def test_a_fenced_write_names_the_session_that_must_live(wire, fence, sent):
    async def join(tag: str) -> str:
        assert tag == "{shop}"
        return "me.2"

    session = SimpleNamespace(id="me", join=join)
    wire.calls.replies = [[b"ok", 1]]

    store = RedisConfigStore(wire, session)
    await store.commit(Draft("id", (Write("a", 1),), fence=fence))

    assert wire.calls.sent[0][2][3:6] == ["lock", 7, sent]


async def test_whoever_hears_is_told_of_messages_and_after_a_lost_connection(
    redis, wire
):
    told = []
    undo = await redis.hear(lambda: told.append(1))

    wire.inbox.handlers[0](b"5")
    wire.inbox.resyncs[0]()
    undo()

    assert told == [1, 1]
    assert wire.inbox.handlers == wire.inbox.resyncs == []


async def test_a_failed_subscription_leaves_nothing_behind(redis, wire):
    wire.inbox.away = True

    with pytest.raises(StoreUnavailable):
        await redis.hear(print)

    assert wire.inbox.handlers == wire.inbox.resyncs == []
    await redis.close()
