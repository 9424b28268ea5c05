"""What an inbox must survive, told once: of the real one, and of broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.wire.scripted_server import (
    Command,
    ScriptedServer,
    array,
    bulk,
    message,
    number,
    pub_sub,
)

from quorate.core.errors import StoreUnavailable
from quorate.testing.heard import Heard
from quorate.wire.inbox import Inbox, InboxRestored

InboxStory = Callable[[ScriptedServer, Inbox, Heard], Awaitable[None]]


def confirmed(channel: bytes) -> bytes:
    return array(bulk(b"subscribe"), bulk(channel), number(1))


async def after_a_cut_everything_is_subscribed_and_then_looked_at(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    seen: list[object] = []
    got = asyncio.Event()

    def hear(body: bytes) -> None:
        seen.append(body)
        got.set()

    await inbox.subscribe("a", hear)
    await inbox.subscribe("b", hear)
    inbox.on_resync(lambda: seen.append([h[-1] for h in server.talk.heard]))

    server.talk.reset()
    await heard(InboxRestored, within_s=2)
    server.talk.send(message(b"b", b"news"))
    async with asyncio.timeout(2):
        await got.wait()

    assert seen == [[b"a", b"b"], b"news"]
    assert len(server.talks) == 2


async def a_confirmation_is_taken_by_the_one_who_asked_for_it(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    server.answers = False
    first = asyncio.create_task(inbox.subscribe("a", print))
    await server.hears(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    inbox.unsubscribe("a", print)
    second = asyncio.create_task(inbox.subscribe("a", print))
    await server.hears(3)

    server.talk.send(confirmed(b"a"))
    third = asyncio.create_task(inbox.subscribe("a", repr))
    await server.hears(4)
    was_done = second.done() or third.done()
    server.talk.send(array(bulk(b"unsubscribe"), bulk(b"a"), number(0)))
    server.talk.send(confirmed(b"a") * 2)
    await asyncio.wait_for(asyncio.gather(second, third), 1)

    assert not was_done


async def who_comes_second_is_not_told_that_it_is_done(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    await server.stop_listening()
    server.talk.reset()
    await server.until(lambda: not server.talk.is_open)
    await asyncio.sleep(0)

    for hear in (print, repr):
        with pytest.raises(StoreUnavailable):
            await inbox.subscribe("a", hear)


async def without_a_confirmation_it_is_not_restored(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    await inbox.subscribe("a", print)
    looked: list[int] = []
    inbox.on_resync(lambda: looked.append(len(server.talks)))

    def slow_once(command: Command) -> bytes | None:
        return None if len(server.talks) == 2 else pub_sub(command)

    server.answer = slow_once
    server.talk.reset()
    await heard(InboxRestored, within_s=3)

    assert looked == [3]


INBOX_STORIES: tuple[InboxStory, ...] = (
    after_a_cut_everything_is_subscribed_and_then_looked_at,
    a_confirmation_is_taken_by_the_one_who_asked_for_it,
    who_comes_second_is_not_told_that_it_is_done,
    without_a_confirmation_it_is_not_restored,
)
