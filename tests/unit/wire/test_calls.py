"""Many callers on one connection: what each of them is told, whatever happens to it."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.unit.wire.conftest import MakeCalls
from tests.unit.wire.scripted_server import Command, ScriptedServer, array, bulk, echo
from tests.unit.wire.stories import STORIES, Story, a_script

import quorate.wire.calls as calls_module
from quorate.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from quorate.wire.address import Address
from quorate.wire.calls import Calls
from quorate.wire.link import Dialer


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_holds_that(
    story: Story, scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    await story(scripted, make_calls(timeout_s=0.25))


async def test_all_calls_of_one_tick_leave_in_one_write(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    await calls.command("ECHO", "hello")
    before = calls.stats()

    words = [str(number) for number in range(100)]
    answers = await asyncio.gather(*(calls.command("ECHO", word) for word in words))

    after = calls.stats()
    assert answers == [word.encode() for word in words]
    assert after.writes - before.writes == 1
    assert after.requests - before.requests == 100
    assert (after.connections, after.pending) == (1, 0)


async def test_the_connection_is_opened_by_the_first_call_and_once_for_all(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    assert not calls.is_connected

    await asyncio.gather(*(calls.command("ECHO", str(n)) for n in range(20)))

    assert calls.is_connected
    assert len(scripted.talks) == 1


async def test_a_first_caller_who_is_cancelled_does_not_cost_the_others_the_connection(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    del scripted.greeting[b"CLIENT"]
    scripted.answers = False
    calls = make_calls()
    first, second = [
        asyncio.create_task(calls.command("ECHO", word)) for word in ("one", "two")
    ]
    await scripted.hears(1)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(first, 0.5)
    scripted.greeting[b"CLIENT"] = b"+OK\r\n"
    scripted.answers = True
    scripted.talk.send(b"+OK\r\n" * len(scripted.heard))

    assert await second == b"two"
    assert len(scripted.talks) == 1


async def test_a_server_that_greets_nobody_is_unavailable_in_time(
    scripted: ScriptedServer,
) -> None:
    del scripted.greeting[b"CLIENT"]
    scripted.answers = False
    calls = Calls(scripted.dialer(timeout_s=0.1))

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await asyncio.wait_for(calls.command("PING"), 1)

    await calls.close()


async def test_nobody_listening_means_not_sent(make_calls: MakeCalls) -> None:
    async with ScriptedServer() as gone:
        dialer = gone.dialer()
    calls = Calls(dialer)

    with pytest.raises(StoreUnavailable) as refused:
        await calls.command("INCR", "a")

    assert "127.0.0.1" in str(refused.value)
    assert "Is the server running" in refused.value.fix
    assert gone.heard == []


async def test_a_server_of_our_own_is_started_again_and_then_asked(
    scripted: ScriptedServer,
) -> None:
    async with ScriptedServer() as gone:
        pass
    where = [gone.url]

    async def resolve() -> None:
        where[0] = scripted.url

    dialer = Dialer(
        lambda: Address(where[0], "embedded", where[0]),
        connect_timeout_s=1,
        resolve=resolve,
    )
    calls = Calls(dialer)

    assert await calls.command("ECHO", "back") == b"back"

    await calls.close()


async def test_a_call_after_a_cut_finds_a_new_connection(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    await calls.command("ECHO", "one")
    scripted.talk.reset()
    await scripted.until(lambda: not scripted.talk.is_open)
    await asyncio.sleep(0)

    assert await calls.command("ECHO", "two") == b"two"

    assert calls.stats().connections == 2


async def test_an_idempotent_script_outlives_one_lost_reply(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    def lose_the_first(command: Command) -> bytes | None:
        if len(scripted.heard) == 1:
            scripted.talk.reset()
            return None
        return echo(command)

    scripted.answer = lose_the_first

    answer = await make_calls().call(a_script(idempotent=True), ["k"], ["x"])

    assert answer == b"x"
    assert len(scripted.heard) == 2
    assert scripted.heard[0] == scripted.heard[1]


async def test_a_script_that_the_server_forgot_is_sent_whole_once(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    def forgetful(command: Command) -> bytes:
        known = any(heard[0] == b"EVAL" for heard in scripted.heard)
        return echo(command) if known else b"-NOSCRIPT No matching script.\r\n"

    scripted.answer = forgetful
    calls, script = make_calls(), a_script(idempotent=False)

    answers = [await calls.call(script, ["{a}:k"], ["x", 7]) for _ in range(2)]

    assert answers == [b"7", b"7"]
    sent = [[word.decode() for word in heard] for heard in scripted.heard]
    tail = ["1", "{a}:k", "x", "7"]
    assert sent == [
        ["EVALSHA", script.sha, *tail],
        ["EVAL", script.text, *tail],
        ["EVALSHA", script.sha, *tail],
    ]


async def test_a_server_that_knows_no_shebang_gets_the_bare_text(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    script = calls_module.Script("t/s", "#!lua\nx", "1", "x", "2", idempotent=False)

    await make_calls(dialect="bare").call(script, [], [])
    await make_calls(dialect="whole").call(script, [], [])

    assert [heard[1] for heard in scripted.heard] == [b"2", b"1"]


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable, ""),
        ("BUSY Redis is busy running a script", StoreUnavailable, ""),
        ("MASTERDOWN Link with MASTER is down", StoreUnavailable, ""),
        ("READONLY You can't write against a read only replica.", StoreUnavailable, ""),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable, ""),
        ("BUSYGROUP Consumer Group name already exists", StoreRefused, "BUSYGROUP"),
        ("BUSYKEY Target key name already exists.", StoreRefused, "BUSYKEY"),
        ("OOM command not allowed", StoreRefused, "OOM"),
        ("WRONGTYPE Operation against a key", StoreRefused, "WRONGTYPE"),
        ("NOPERM this user has no permissions", StoreRefused, "NOPERM"),
        ("ERR unknown command", StoreRefused, "ERR"),
        ("NOSCRIPT No matching script.", StoreRefused, "NOSCRIPT"),
    ],
)
async def test_what_the_server_says_of_itself_is_not_the_callers_fault(
    said: str,
    kind: type[StoreUnavailable | StoreRefused],
    code: str,
    scripted: ScriptedServer,
    make_calls: MakeCalls,
) -> None:
    scripted.answer = lambda _: f"-{said}\r\n".encode()

    with pytest.raises((StoreUnavailable, StoreRefused)) as told:
        await make_calls().command("GET", "a")

    assert isinstance(told.value, kind)
    assert told.value.why == said
    if isinstance(told.value, StoreRefused):
        assert told.value.code == code


async def test_a_scripts_own_error_is_not_tried_again(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answer = lambda _: b"-OOM no memory\r\n"

    with pytest.raises(StoreRefused, match="OOM"):
        await make_calls().call(a_script(idempotent=True), [], [])

    assert len(scripted.heard) == 1


async def test_a_link_that_breaks_before_the_turn_of_its_callers_is_told(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    """Between the end of the dial and the callers' turn the connection is lost."""
    calls = make_calls()
    asking = [asyncio.create_task(calls.command("ECHO", str(n))) for n in range(3)]
    while not calls.is_connected:
        await asyncio.sleep(0)

    calls._part("the server hung up")

    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert scripted.heard == []


async def test_an_error_of_one_call_is_nobody_elses(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answer = lambda c: b"-ERR no\r\n" if c[-1] == b"bad" else echo(c)
    calls = make_calls()

    outcomes = await asyncio.gather(
        *(calls.command("ECHO", word) for word in ("a", "bad", "b")),
        return_exceptions=True,
    )

    assert outcomes[0] == b"a"
    assert isinstance(outcomes[1], StoreRefused)
    assert outcomes[2] == b"b"


@pytest.mark.parametrize(
    ("asked", "said", "code"),
    [
        (b"AUTH", "WRONGPASS invalid username-password pair", "WRONGPASS"),
        (b"CLIENT", "NOAUTH Authentication required.", "NOAUTH"),
        (b"SELECT", "ERR DB index is out of range", "ERR"),
    ],
)
async def test_a_server_that_lets_nobody_in_says_why(
    asked: bytes, said: str, code: str, scripted: ScriptedServer
) -> None:
    scripted.greeting[asked] = f"-{said}\r\n".encode()
    url = f"redis://me:secret@127.0.0.1:{scripted.port}/3"
    calls = Calls(scripted.dialer(url=url))

    with pytest.raises(StoreRefused) as refused:
        await calls.command("PING")

    assert refused.value.code == code
    assert "secret" not in str(refused.value)
    assert scripted.heard == []
    await calls.close()


async def test_beyond_the_limit_calls_are_refused_before_they_are_sent(
    scripted: ScriptedServer, make_calls: MakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "MOST_PENDING", 3)
    scripted.answers = False
    calls = make_calls()
    waiting = [asyncio.create_task(calls.command("ECHO", str(n))) for n in range(3)]
    await scripted.hears(3)

    with pytest.raises(StoreUnavailable, match="3 calls wait"):
        await calls.command("ECHO", "one too many")

    scripted.talk.send(b"".join(bulk(str(n).encode()) for n in range(3)))
    assert await asyncio.gather(*waiting) == [b"0", b"1", b"2"]
    assert len(scripted.heard) == 3


async def test_closing_tells_everybody_and_lets_nobody_in(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answers = False
    calls = make_calls(timeout_s=30)
    sent = asyncio.create_task(calls.call(a_script(idempotent=True), [], ["x"]))
    await scripted.hears(1)
    unsent = asyncio.create_task(calls.command("ECHO", "still here"))
    await asyncio.sleep(0)

    await calls.close()
    outcomes = await asyncio.gather(sent, unsent, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, StoreUnavailable]
    with pytest.raises(StoreUnavailable, match="is closed"):
        await calls.command("PING")
    await scripted.until(lambda: not scripted.talk.is_open)
    assert len(scripted.heard) == 1


async def test_closing_while_dialling_is_prompt_and_cancels_no_caller(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    del scripted.greeting[b"CLIENT"]
    scripted.answers = False
    calls = make_calls()
    caller = asyncio.create_task(calls.command("PING"))
    await scripted.hears(1)

    async with asyncio.timeout(0.5):
        await calls.close()

    with pytest.raises(StoreUnavailable, match="given up"):
        await caller
    await scripted.until(lambda: not scripted.talk.is_open)


async def test_closing_calls_that_were_never_used_is_harmless(
    make_calls: MakeCalls,
) -> None:
    calls = make_calls()

    await calls.close()
    await calls.close()


@pytest.mark.parametrize("nonsense", [b"!what?\r\n", b"$abc\r\n", b"*-7\r\n"])
async def test_a_server_that_speaks_nonsense_is_left(
    nonsense: bytes, scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answer = lambda c: nonsense if c[-1] == b"one" else echo(c)
    calls = make_calls()

    with pytest.raises(OutcomeUnknown):
        await calls.command("ECHO", "one")

    assert await calls.command("ECHO", "two") == b"two"
    assert len(scripted.talks) == 2


async def test_a_word_that_nobody_asked_for_ends_the_connection(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    await calls.command("ECHO", "one")

    scripted.talk.send(bulk(b"surprise"))
    await scripted.until(lambda: not scripted.talk.is_open)

    assert await calls.command("ECHO", "two") == b"two"


async def test_nested_replies_arrive_as_they_are(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answer = lambda _: array(
        b":1\r\n", b"$-1\r\n", array(bulk(b"a")), b"*0\r\n"
    )

    assert await make_calls().command("X") == [1, None, [b"a"], []]


async def test_what_cannot_be_packed_reaches_nobody(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()

    with pytest.raises(UnicodeEncodeError):
        await calls.command("ECHO", "\ud800")

    assert await calls.command("ECHO", "fine") == b"fine"
    assert len(scripted.heard) == 1


async def test_a_loop_that_stood_still_does_not_blame_the_server(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls(timeout_s=0.15)
    await calls.command("ECHO", "hello")
    asked = asyncio.create_task(calls.command("ECHO", "still mine"))
    await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251 - the loop is to stand still

    assert await asked == b"still mine"
    assert len(scripted.talks) == 1


async def test_after_standing_still_a_silent_server_is_left_all_the_same(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls(timeout_s=0.15)
    await calls.command("ECHO", "hello")
    scripted.answers = False
    asked = asyncio.create_task(calls.command("ECHO", "anybody?"))
    await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251 - the loop is to stand still

    with pytest.raises(OutcomeUnknown, match="nothing came"):
        await asyncio.wait_for(asked, 1)


async def test_a_slow_server_is_kept_as_long_as_each_answer_is_in_time(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    scripted.answers = False
    calls = make_calls(timeout_s=0.4)
    loop = asyncio.get_running_loop()
    answered = []
    for word in ("a", "b", "c", "d"):
        asked = asyncio.create_task(calls.command("ECHO", word))
        await scripted.hears(len(answered) + 1)
        loop.call_later(0.12, scripted.talk.send, bulk(word.encode()))
        answered.append(await asked)

    assert answered == [b"a", b"b", b"c", b"d"]
    assert len(scripted.talks) == 1


async def test_a_server_that_hangs_up_right_after_the_greeting_is_unavailable(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis.asyncio.connection import Connection

    connect = Connection.connect

    async def connect_and_lose(self: Connection) -> None:
        await connect(self)
        self._reader.feed_eof()

    monkeypatch.setattr(Connection, "connect", connect_and_lose)
    calls = Calls(scripted.dialer())

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await calls.command("PING")

    await calls.close()


async def test_what_the_dialer_did_not_foresee_is_unavailable_too() -> None:
    class Broken:
        shown = "redis://odd"

        async def dial(self, link: object) -> None:
            raise RuntimeError("never seen before")

    calls = Calls(Broken())  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailable, match="never seen before"):
        await calls.command("PING")


async def test_asking_stands_right_before_its_own_call(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    scripted.answer = lambda command: b"+OK\r\n" if len(command) == 1 else echo(command)

    answers = await asyncio.gather(
        calls.call(a_script(idempotent=False), ["a"], ["1"], asking=True),
        calls.command("ECHO", "2"),
        calls.command("ECHO", "3", asking=True),
    )

    assert answers == [b"1", b"2", b"3"]
    assert [command[0] for command in scripted.heard] == [
        *(b"ASKING", b"EVALSHA", b"ECHO", b"ASKING", b"ECHO"),
    ]
    assert calls.stats().writes == 1


async def test_a_former_master_is_left_and_what_it_refused_is_asked_anew(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    def demoted(command: Command) -> bytes | None:
        if scripted.asked is scripted.talks[0]:
            return b"-READONLY You can't write against a read only replica.\r\n"
        return echo(command)

    scripted.answer = demoted
    calls = make_calls()

    answers = await asyncio.gather(*(calls.command("SET", "a", n) for n in range(9)))

    assert answers == [str(n).encode() for n in range(9)]
    assert len(scripted.talks) == 2
    await scripted.until(lambda: not scripted.talks[0].is_open)


async def test_without_resending_every_loss_is_told(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = Calls(scripted.dialer(), timeout_s=1.0, resends=False)
    scripted.answer = lambda _: b"-READONLY no\r\n"
    with pytest.raises(StoreUnavailable, match="does not serve right now"):
        await calls.command("SET", "a", "b")

    def hang_up(command: Command) -> None:
        scripted.talk.reset()

    scripted.answer = hang_up
    with pytest.raises(OutcomeUnknown):
        await calls.call(a_script(idempotent=True), [], ["x"])

    assert len([c for c in scripted.heard if c[0] == b"EVALSHA"]) == 1
    await calls.close()


async def test_a_lost_call_whose_server_is_gone_may_have_happened(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    """Sent once, not sent again: nobody may say that it was not done."""
    calls = make_calls()
    await calls.command("ECHO", "hello")
    await scripted.stop_listening()

    def hang_up(command: Command) -> None:
        scripted.talk.reset()

    scripted.answer = hang_up
    with pytest.raises(OutcomeUnknown) as unknown:
        await calls.call(a_script(idempotent=True), [], ["x"])

    assert isinstance(unknown.value.__cause__, StoreUnavailable)


async def test_a_connection_is_left_at_once_unless_it_leads_to_the_right_place(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    calls = make_calls()
    await calls.command("ECHO", "hello")
    scripted.answers = False
    stuck = asyncio.create_task(calls.command("ECHO", "stuck"))
    await scripted.hears(2)
    assert calls.waits_s < 0.5

    calls.leave("no reason", unless=f"127.0.0.1:{scripted.port}")
    assert not stuck.done()
    calls.leave("the master is elsewhere", unless="127.0.0.1:1")

    with pytest.raises(OutcomeUnknown) as unknown:
        await stuck
    assert unknown.value.why == "the master is elsewhere"
    scripted.answers = True
    assert await calls.command("ECHO", "again") == b"again"
    assert calls.waits_s == 0.0


async def test_a_connection_that_is_being_opened_can_be_given_up(
    scripted: ScriptedServer, make_calls: MakeCalls
) -> None:
    del scripted.greeting[b"CLIENT"]
    scripted.answers = False
    calls = make_calls()
    waiting = asyncio.create_task(calls.command("ECHO", "x"))
    await scripted.hears(1)

    calls.leave("its slots are elsewhere")

    with pytest.raises(StoreUnavailable, match="was given up"):
        await waiting
