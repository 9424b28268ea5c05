"""How a queue is written on the wire, and how answers are read: no server needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.unit.queue.fakes import a_lease

from quorate.core.errors import InvalidInput, StoreUnavailable
from quorate.core.ids import new_task_id
from quorate.queue.decide import after_cancel, after_release, after_success, dead
from quorate.queue.envelope import Header, seal
from quorate.queue.events import TaskDied, TasksTakenBack
from quorate.queue.guards import Rate
from quorate.queue.lanes import Slots
from quorate.queue.model import (
    DeadReason,
    Lease,
    Move,
    MoveKind,
    QueueConfig,
    TaskPriority,
    TaskState,
)
from quorate.queue.ports import (
    Bell,
    Finished,
    Found,
    Parcel,
    Request,
    RollCall,
    TakenBack,
)
from quorate.queue.redis.admin import RedisQueueAdmin, explained
from quorate.queue.redis.broker import RedisBroker
from quorate.queue.redis.dead_letters import RedisDeadLetters
from quorate.queue.redis.keys import QueueKeys
from quorate.queue.redis.queues import RedisQueues
from quorate.queue.redis.results import RedisResults
from quorate.queue.views import Which
from quorate.wire.keys import Keyspace

KEYS = QueueKeys(Keyspace("t"), "work:now")
PREFIX = "{t}:j:work%3Anow:"
ENVELOPE = seal(Header("send"), None, 100)


@dataclass
class FakeCalls:
    """Answers what the test says, and remembers what it was asked."""

    replies: list[object] = field(default_factory=list)
    asked: list[tuple[str, list[str], list[object]]] = field(default_factory=list)

    async def call(self, script, keys, args):
        self.asked.append((script.name, list(keys), list(args)))
        return self.replies.pop(0)

    async def command(self, *words):
        self.asked.append((str(words[0]), [str(words[1])], list(words[2:])))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def calls() -> FakeCalls:
    return FakeCalls()


@pytest.fixture
def broker(calls) -> RedisBroker:
    return RedisBroker(calls, KEYS, QueueConfig())


def a_request(*finished: Finished, **changes) -> Request:
    given = {
        "session": "p.1", "exchanger": 1, "number": 7, "finished": finished,
        "takes": (3, 2, 1), "slots": Slots(6, 5), "bell": Bell("to:p", wanted=True),
    } | changes  # fmt: skip
    return Request(**given)


def test_keys_carry_the_tag_and_never_meet():
    assert KEYS.prefix == PREFIX
    assert KEYS.queues_of("p.1") == "{t}:j::at:p.1"
    assert KEYS.with_claims == "{t}:j::who"
    assert QueueKeys(Keyspace("t"), "work%3Anow").prefix != KEYS.prefix


async def test_parcels_are_sent_as_four_words_each(broker, calls):
    calls.replies = [[1, 0]]

    put_in = await broker.enqueue([Parcel("a", 1, 0.25, b"x"), Parcel("b", 0, 0, b"y")])

    assert put_in == [True, False]
    assert calls.asked == [
        ("redis/enqueue", [PREFIX],
         ["work:now", "a", 1, 250, b"x", "b", 0, 0, b"y"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (after_success(b"1", 90.0), ("d", 90_000, b"d1")),
        (after_success(b"1", 0.0), ("d", 60_000, b"d")),
        (after_cancel(5.0), ("C", 5000, b"c")),
        (Move(MoveKind.RETRY, 1.5, record=(1, 0, 0)), ("r", 1500, "1|0|0")),
        (Move(MoveKind.RETRY, 1.5, record=(1, 2, 3)), ("r", 1500, "1|3|2")),
        (after_release(a_lease()), ("b", 0, "")),
    ],
)
async def test_a_finished_task_is_five_words(broker, calls, move, words):
    calls.replies = [[1, [], [], 0, -1, 1, []]]

    await broker.exchange(a_request(Finished(a_lease(), move)))

    name, keys, args = calls.asked[0]
    assert name == "redis/exchange"
    assert keys == ["{t}:S", PREFIX, "{t}:j::who", "{t}:j::at:p.1"]
    assert args[:14] == [
        "p.1", 1, 7, 3, 2, 1, 6, 5, "br", "to:p", "work:now", 10_000, 1_209_600_000, 1,
    ]  # fmt: skip
    assert tuple(args[14:]) == ("a", "p.1|1|1|1", *words)


@pytest.mark.parametrize(
    ("finished", "code"),
    [
        (Finished(a_lease(failures=1), after_success(b"", 60)), "D"),
        (Finished(a_lease(), after_success(b"", 60), is_marked=True), "D"),
        (Finished(a_lease(), after_release(a_lease()), is_marked=True), "B"),
        (Finished(a_lease(crashes=1), dead(a_lease(), DeadReason.EXPIRED, "x")), "X"),
    ],
)
async def test_what_left_notes_has_them_removed(broker, calls, finished, code):
    calls.replies = [[1, [], [], 0, -1, 1, []]]

    await broker.exchange(a_request(finished))

    assert calls.asked[0][2][16] == code


@pytest.mark.parametrize("kind", MoveKind)
async def test_a_guarded_task_says_so_when_it_is_finished(broker, calls, kind):
    calls.replies = [[1, [], [], 0, -1, 1, []]]
    lease = a_lease()._replace(envelope=b"!s|1|0|k\n{}\n1")

    await broker.exchange(a_request(Finished(lease, Move(kind))))

    code = calls.asked[0][2][16]
    assert (len(code), code[1:]) == (2, "!")


async def test_an_answer_is_read(broker, calls):
    head = new_task_id(1000.0).encode()
    calls.replies = [
        [
            1,
            [b"a", b"17", 0, b"", b"env", b"b", b"18", 2, b"1|3|2", b"env2"],
            [b"c"],
            2,
            1500,
            0,
            [4, 0, 1, head, b"", b"given", 1_005_000],
        ]
    ]

    answer = await broker.exchange(a_request(upkeep=True, look=True))

    assert answer.leases == (
        Lease("a", "p.1", 17, 0, b"env"),
        Lease("b", "p.1", 18, 2, b"env2", failures=1, crashes=2, bounces=3),
    )
    assert (answer.alive, answer.stale, answer.is_short) == (True, ("c",), False)
    assert (answer.shed_level, answer.due_in_s) == (2, 1.5)
    assert answer.sight.depths == (4, 0, 1)
    assert answer.sight.ages_s == (5.0, None, None)
    assert calls.asked[0][2][8] == "ulbr"


async def test_the_answer_for_the_dead_is_read(broker, calls):
    calls.replies = [[0, [], [b"a"], 0, -1, 1, []]]

    answer = await broker.exchange(a_request())

    assert (answer.alive, answer.due_in_s, answer.sight) == (False, None, None)


@pytest.mark.parametrize(
    ("letter", "state"),
    [(b"c", TaskState.CANCELLED), (b"r", TaskState.RUNNING), (b"u", None)],
)
async def test_cancelling_is_answered_with_a_state(broker, calls, letter, state):
    calls.replies = [letter]

    assert await broker.cancel("a") is state
    assert calls.asked[0][2] == ["a", 3_600_000, "work:now"]


async def test_stats_are_read_by_lane(broker, calls):
    head = new_task_id(1000.0).encode()
    calls.replies = [[[1, 2, 3], [head, b"", b""], [4, 5, 6], 7, 8, 1, 1, 1_002_000, 9]]

    stats = await broker.stats()

    assert stats.ready[TaskPriority.LOW] == 3
    assert stats.running[TaskPriority.HIGH] == 4
    assert stats.oldest_age_s[TaskPriority.HIGH] == 2.0
    assert (stats.scheduled, stats.dead, stats.shed_level, stats.paused) == (
        7, 8, 1, True,
    )  # fmt: skip
    assert stats.parked == 9


async def test_a_roll_call_is_sent_and_read(broker, calls):
    calls.replies = [[1, 2, [b"a"], [b"b"], [b"send"]]]

    answer = await broker.roll_call(RollCall("p.1", ["a", "b"], (3, 4), ["send"]))

    assert calls.asked[0][2] == [
        "p.1", "work:now", 90_000, 3, 4, 2, "a", "b", "send",
    ]  # fmt: skip
    assert (answer.returned, answer.lost, answer.unwanted) == (2, ("a",), ("b",))
    assert answer.names == {"send"}


async def test_begin_and_report_name_the_claim(broker, calls):
    calls.replies = [1, 0]

    assert await broker.begin(a_lease())
    assert not await broker.report(a_lease(), "50%")
    assert calls.asked[1][2] == ["p.1", "a", 1, "50%"]


async def test_taking_back_carries_the_note_for_the_poisoned(broker, calls):
    calls.replies = [[2, 1, [b"a"], 3], [-1, 0, [], 0]]

    assert await broker.take_back("p.1") == TakenBack(2, 1, ("a",), 3)
    assert (await broker.take_back("p.1")).tasks == 0
    note = calls.asked[0][2][4]
    assert '"reason":"poison"' in note
    assert '"attempt":%d,"lane":%d}' in note


async def test_leaving_takes_the_bell_down(broker, calls):
    calls.replies = [0]

    await broker.leave("host-1-ab.2")

    assert calls.asked[0][2] == ["host-1-ab.2", "work:now", "{t}:j:to:host-1-ab"]


async def test_a_result_is_found(calls):
    calls.replies = [[b"d", b"1"], [b"u", b""]]
    results = RedisResults(calls, KEYS)

    assert await results.find("a", tell="to:p") == Found(TaskState.DONE, b"1")
    assert await results.find("a") == Found(None)
    assert calls.asked[0][2] == ["a", "to:p"]


async def test_dead_letters_are_read(calls):
    note = b'{"reason":"exhausted","error":"no","attempt":5,"lane":0}'
    calls.replies = [
        [b"a", b"5000", note, seal(Header("send"), {"x": 1}, 100),
         b"b", b"6000", note, b"\xff"],
    ]  # fmt: skip

    first, second = await RedisDeadLetters(calls, KEYS).list(first=2, most=5)

    assert calls.asked[0][2] == [2, 5]
    assert (first.name, first.payload, first.died_at) == ("send", {"x": 1}, 5.0)
    assert (first.reason, first.attempt, first.priority) == (
        "exhausted", 5, TaskPriority.HIGH,
    )  # fmt: skip
    assert (second.name, second.payload) == ("", None)


def picked(count: int, reason: str = "poison", first: int = 0) -> list[bytes]:
    note = f'{{"reason":"{reason}","error":"","attempt":1,"lane":1}}'.encode()
    header = ENVELOPE.partition(b"\n")[0] + b"\n"
    return [
        word
        for n in range(first, first + count)
        for word in (str(n).encode(), note, header)
    ]


async def test_replay_and_purge_go_in_parts(calls):
    letters = RedisDeadLetters(calls, KEYS)
    calls.replies = [picked(140), 100, 40, 100, 50]

    assert await letters.replay() == 140
    assert await letters.purge([str(n) for n in range(150)]) == 150
    assert await letters.purge([]) == 0
    assert calls.asked[0][2] == ["-inf", "+inf", 0, 500]
    assert calls.asked[1][2][:3] == ["work:now", 0, "0"]
    assert len(calls.asked[4][2]) == 50


async def test_dead_letters_are_chosen_page_by_page(calls):
    letters = RedisDeadLetters(calls, KEYS)
    last = [*picked(1, first=500), *picked(1, "expired", first=501)]
    calls.replies = [picked(500), last, [b"x", b'{"reason":"poison"}', b""]]

    assert await letters.replay(Which(reason="poison"), dry_run=True) == 501
    assert await letters.purge(Which(task="send"), dry_run=True) == 0
    assert calls.asked[1][2] == ["-inf", "+inf", 500, 500]
    calls.replies = [picked(3), 1]
    which = Which(ids=("2", "9"), since=1.5, until=2.0)
    assert await letters.replay(which, rate=Rate(4)) == 1
    assert calls.asked[-2][2] == ["1500", "(2000", 0, 500]
    assert calls.asked[-1][2] == ["work:now", 250_000, "2"]


async def test_a_text_is_no_list_of_ids(calls):
    with pytest.raises(InvalidInput, match="list of ids"):
        await RedisDeadLetters(calls, KEYS).purge("abc")


async def test_control_words_are_sent(calls):
    admin = RedisQueueAdmin(calls, KEYS)
    calls.replies = [b"", b"1", b"2", b""]

    assert await admin.shed(1) == 0
    assert await admin.shed(0) == 1
    await admin.pause(paused=True)
    await admin.pause(paused=False)

    assert [asked[2][1:] for asked in calls.asked] == [
        ["shed", "1"], ["shed", ""], ["paused", "1"], ["paused", ""],
    ]  # fmt: skip
    with pytest.raises(InvalidInput):
        await admin.shed(9)


async def test_an_audit_reads_every_place_and_lets_the_scripts_judge(calls):
    places = {
        "job": [b"a", b"b", b"c", b"d", b"p"],
        "due": [b"1:a"],
        "dead": [b"b"],
        "err": [b"b"],
        "r1": [b"c", b"ghost"],
        "own": [b"c"],
        "parked": [b"p"],
    }

    async def command(name, key, *args):
        found = places.get(key.rpartition(":")[2], [])
        if name != "HSCAN":
            return found if args[0] == 0 else []
        half = len(found) // 2
        part = found[:half] if args[0] == "0" else found[half:]
        fields = [word for field in part for word in (field, b"value")]
        return [b"3" if args[0] == "0" else b"0", fields]

    calls.command = command
    calls.replies = [[b"ghost", b"in a lane without a task"], [b"d"]]

    audit = await RedisQueueAdmin(calls, KEYS).audit()

    assert (audit.looked_at, audit.repaired) == (5, ("d",))
    assert audit.tidied == (("ghost", "in a lane without a task"),)
    (tidy, _, suspects), (mend, _, lost) = calls.asked
    assert (tidy, suspects[3:]) == ("redis/tidy", [b"c", b"ghost", b"p"])
    assert (mend, lost[1:]) == ("redis/mend", [b"c", b"d", b"ghost"])


NOWHERE = [ENVELOPE, b"", b"", b"", -1, -1, -1, b"", 0, 0, b"", b"", -1, []]


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({1: b"p.1|17|1|1", 3: b"50%"}, TaskState.RUNNING, "It runs in p.1."),
        ({4: 1, 5: 3}, TaskState.QUEUED, "3 task(s) wait before it in the lane normal"),
        ({4: 2, 5: 3, 8: 1}, TaskState.QUEUED, "shed level 1"),
        ({4: 2, 5: 3, 9: 1}, TaskState.QUEUED, "paused"),
        ({4: 1, 6: 1500}, TaskState.SCHEDULED, "due in 1.5 s"),
        ({2: b"2|1|0", 4: 1, 6: 1500}, TaskState.RETRYING, "1 worker(s) had no"),
        ({7: b'{"reason":"poison","error":"boom"}'}, TaskState.DEAD, "poison"),
        ({}, TaskState.QUEUED, "run an audit"),
        ({0: b"", 10: b"d"}, TaskState.DONE, "over"),
        ({11: b"p:send", 12: 0}, TaskState.QUEUED, "Tasks called send are paused."),
        ({11: b"s:k:1", 12: 2, 13: [b"x"]}, TaskState.QUEUED, "slot k:1, which x has"),
        ({11: b"t:send", 12: 2}, TaskState.QUEUED, "rate of tasks called send"),
        ({11: b"k:k", 12: 2}, TaskState.QUEUED, "rate of k. 2 task(s)"),
    ],
)
def test_an_explanation_is_in_words(changes, state, says):
    reply = [changes.get(index, word) for index, word in enumerate(NOWHERE)]

    told = explained("a", reply)

    assert told.state is state
    assert says in told.why


def test_what_is_not_known_is_not_explained():
    assert explained("a", [b"", *NOWHERE[1:]]) is None


class FakeWire:
    def __init__(self, calls: FakeCalls) -> None:
        self.calls = calls
        self.keys = Keyspace("t")
        self.inbox = None


async def test_a_dead_session_is_cleaned_in_every_queue_and_told(calls, heard):
    queues = RedisQueues(FakeWire(calls), QueueConfig(), heard.emit)
    calls.replies = [
        [b"a"], [10, 2, [], 5], [5, 0, [b"x", b"y", b"z"], 0],
        ENVELOPE, None, StoreUnavailable("The server is away."),
    ]  # fmt: skip

    await queues.clean("{t}", "p.1")

    assert heard.all(TasksTakenBack)[0].tasks == 15
    died = [(each.task_id, each.task) for each in heard.all(TaskDied)]
    assert died == [("x", "send"), ("y", ""), ("z", "")]
    assert calls.asked[3] == ("HGET", ["{t}:j:a:job"], ["x"])
    assert queues.place("a") is queues.place("a")
    assert queues.index_key("{t}") == "{t}:j::who"
    assert queues.mailbox("p").channel_in("{t}") == "{t}:j:to:p"


async def test_a_session_without_claims_is_only_taken_off_the_list(calls, heard):
    queues = RedisQueues(FakeWire(calls), QueueConfig(), heard.emit)
    calls.replies = [[], 1]

    await queues.clean("{t}", "p.1")

    assert calls.asked[-1] == ("SREM", ["{t}:j::who"], ["p.1"])
    assert heard.count(TasksTakenBack) == 0
