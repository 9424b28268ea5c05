"""Faults that a connection for many must survive, told once.

`test_calls.py` tells them of the real thing, `test_planted_bugs.py` of broken ones, on
which each of them must fail.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.wire.scripted_server import Command, ScriptedServer, bulk, echo

from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.wire.calls import Calls
from quorate.wire.scripts import Script

Story = Callable[[ScriptedServer, Calls], Awaitable[None]]


def a_script(*, idempotent: bool) -> Script:
    text = "return ARGV[1]"
    sha = hashlib.sha1(text.encode()).hexdigest()
    return Script("test/echo", text, sha, text, sha, idempotent)


async def a_cancelled_call_keeps_its_place(
    server: ScriptedServer, calls: Calls
) -> None:
    server.answers = False
    first, second = [
        asyncio.create_task(calls.command("ECHO", word)) for word in ("one", "two")
    ]
    await server.hears(2)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.talk.send(bulk(b"one") + bulk(b"two"))

    assert first.cancelled()
    assert await second == b"two"


async def a_late_reply_ends_the_connection(
    server: ScriptedServer, calls: Calls
) -> None:
    server.answers = False
    waiting = [
        asyncio.create_task(calls.command("ECHO", word)) for word in ("one", "two")
    ]
    await server.hears(2)
    late = server.talk

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    server.answers = True
    if late.is_open:
        late.send(bulk(b"one") + bulk(b"two"))
    fresh = await calls.command("ECHO", "three")
    await server.until(lambda: not late.is_open)

    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 2
    assert fresh == b"three"
    assert len(server.talks) == 2


async def a_half_closed_connection_is_left(
    server: ScriptedServer, calls: Calls
) -> None:
    """The server hangs up while more lies here than the network takes."""
    await calls.command("ECHO", "hello")
    half = server.talk
    assert half.transport is not None
    half.transport.pause_reading()
    stuck = asyncio.create_task(calls.command("ECHO", b"x" * 20_000_000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    half.transport.write_eof()
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(stuck, 0.9)

    assert await calls.command("ECHO", "mine") == b"mine"


async def two_connections_never_share_a_line(
    server: ScriptedServer, calls: Calls
) -> None:
    """The old connection is closing but has not said so when a new one is dialled."""
    server.answers = False
    old = asyncio.create_task(calls.command("ECHO", "old"))
    await server.hears(1)
    link = calls._link
    assert link is not None
    link._transport = None  # as between is_closing() and connection_lost()

    server.answers = True
    new = await calls.command("ECHO", "new")
    outcome = (await asyncio.gather(old, return_exceptions=True))[0]

    assert new == b"new"
    assert isinstance(outcome, OutcomeUnknown)


async def only_the_idempotent_is_sent_again(
    server: ScriptedServer, calls: Calls
) -> None:
    def hang_up(command: Command) -> None:
        server.talk.reset()

    server.answer = hang_up
    calls_of_a_kind = (
        lambda: calls.command("INCR", "a"),
        lambda: calls.call(a_script(idempotent=False), [], ["x"]),
        lambda: calls.call(a_script(idempotent=True), [], ["x"]),
    )
    sent = []
    for call in calls_of_a_kind:
        before = len(server.heard)
        with pytest.raises(OutcomeUnknown):
            await call()
        sent.append(len(server.heard) - before)

    assert sent == [1, 1, 2]


async def nobody_gets_what_is_not_his(server: ScriptedServer, calls: Calls) -> None:
    """Calls, cancellations, cuts and silences at random: each answer is one's own."""
    chance = random.Random(7)
    wrong: list[tuple[str, bytes]] = []

    def answer(command: Command) -> bytes | None:
        assert server.asked is not None
        fate = chance.random()
        if fate < 0.01:
            server.asked.reset()
        elif fate < 0.02:
            server.asked.is_silent = True
        return echo(command)

    async def ask(number: int) -> None:
        word = f"word-{number}"
        try:
            async with asyncio.timeout(chance.choice((0.0, 0.001, 1.0, 1.0))):
                got = await calls.command("ECHO", word)
        except (OutcomeUnknown, StoreUnavailable, TimeoutError):
            return
        if got != word.encode():
            wrong.append((word, got))

    server.answer = answer
    for batch in range(40):
        await asyncio.gather(*(ask(batch * 10 + n) for n in range(10)))

    assert wrong == []


STORIES: tuple[Story, ...] = (
    a_cancelled_call_keeps_its_place,
    a_late_reply_ends_the_connection,
    a_half_closed_connection_is_left,
    two_connections_never_share_a_line,
    only_the_idempotent_is_sent_again,
    nobody_gets_what_is_not_his,
)
