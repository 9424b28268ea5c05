"""Messages in, by channel; and what happens when the connection is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.wire.inbox_stories import INBOX_STORIES, InboxStory, confirmed
from tests.unit.wire.scripted_server import (
    Command,
    ScriptedServer,
    message,
    pub_sub,
)

from quorate.core.clock import Clock, SystemClock
from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import ListenerFailed
from quorate.core.lifecycle import RoleFailed
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard
from quorate.wire.inbox import (
    PING_EVERY_S,
    REDIAL_S,
    SILENCE_S,
    Inbox,
    InboxLost,
    InboxRestored,
)

MakeInbox = Callable[..., Inbox]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(pub_sub) as server:
        yield server


@pytest.fixture
async def make_inbox(server: ScriptedServer, heard: Heard) -> AsyncIterator[MakeInbox]:
    made: list[Inbox] = []

    def make(kind: type[Inbox] = Inbox, *, clock: Clock | None = None) -> Inbox:
        inbox = kind(
            server.dialer(timeout_s=0.5),
            timeout_s=0.3,
            emit=heard.emit,
            clock=clock or SystemClock(),
        )
        made.append(inbox)
        return inbox

    yield make
    for inbox in made:
        await inbox.stop()


@pytest.fixture
async def inbox(make_inbox: MakeInbox) -> Inbox:
    inbox = make_inbox()
    await inbox.start()
    return inbox


class Ear:
    """Hears, and can be waited for."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self._bell = asyncio.Event()

    def __call__(self, body: bytes) -> None:
        self.got.append(body)
        self._bell.set()

    async def has(self, *bodies: bytes) -> None:
        async with asyncio.timeout(2):
            while tuple(self.got) != bodies:
                self._bell.clear()
                await self._bell.wait()


@pytest.mark.parametrize("story", INBOX_STORIES, ids=lambda story: story.__name__)
async def test_it_holds_that(
    story: InboxStory, server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    await story(server, inbox, heard)


async def test_everybody_hears_his_channel_and_no_other(
    server: ScriptedServer, inbox: Inbox
) -> None:
    ears = [Ear(), Ear(), Ear()]
    await inbox.subscribe("a", ears[0])
    await inbox.subscribe("a", ears[1])
    await inbox.subscribe("b", ears[2])

    server.talk.send(message(b"a", b"1") + message(b"b", b"2") + message(b"c", b"3"))

    for ear, bodies in zip(ears, ([b"1"], [b"1"], [b"2"]), strict=True):
        await ear.has(*bodies)


async def test_subscribing_returns_when_the_server_has_confirmed(
    server: ScriptedServer, inbox: Inbox
) -> None:
    server.answers = False
    waiting = [
        asyncio.create_task(inbox.subscribe("a", hear)) for hear in (print, repr)
    ]
    await server.hears(2)
    assert not any(task.done() for task in waiting)

    server.talk.send(confirmed(b"a") * 2)

    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_a_channel_that_is_heard_costs_nothing_more(
    server: ScriptedServer, inbox: Inbox
) -> None:
    await inbox.subscribe("a", print)
    await inbox.subscribe("a", repr)
    await inbox.subscribe("a", repr)

    assert [heard for heard in server.heard if heard[0] == b"SUBSCRIBE"] == [
        [b"SUBSCRIBE", b"a"]
    ]


async def test_the_same_handler_hears_once(
    server: ScriptedServer, inbox: Inbox
) -> None:
    ear = Ear()
    await inbox.subscribe("a", ear)
    await inbox.subscribe("a", ear)

    server.talk.send(message(b"a", b"1") + message(b"a", b"2"))

    await ear.has(b"1", b"2")


async def test_the_last_one_to_leave_unsubscribes(
    server: ScriptedServer, inbox: Inbox
) -> None:
    first, second = Ear(), Ear()
    await inbox.subscribe("a", first)
    await inbox.subscribe("a", second)

    inbox.unsubscribe("a", first)
    server.talk.send(message(b"a", b"1"))
    await second.has(b"1")
    assert server.heard[-1][0] == b"SUBSCRIBE"
    inbox.unsubscribe("a", second)
    inbox.unsubscribe("a", second)
    inbox.unsubscribe("never", second)
    await server.hears(2)

    assert first.got == []
    assert server.heard[-1] == [b"UNSUBSCRIBE", b"a"]
    assert [h[0] for h in server.heard].count(b"UNSUBSCRIBE") == 1


async def test_who_leaves_and_comes_back_hears_again(
    server: ScriptedServer, inbox: Inbox
) -> None:
    ear = Ear()
    await inbox.subscribe("a", ear)

    inbox.unsubscribe("a", ear)
    await inbox.subscribe("a", ear)
    server.talk.send(message(b"a", b"1"))

    await ear.has(b"1")
    words = [heard[0] for heard in server.heard]
    assert words == [b"SUBSCRIBE", b"UNSUBSCRIBE", b"SUBSCRIBE"]


async def test_a_cancelled_subscriber_is_subscribed_all_the_same(
    server: ScriptedServer, inbox: Inbox
) -> None:
    server.answers = False
    ear = Ear()
    asking = asyncio.create_task(inbox.subscribe("a", ear))
    await server.hears(1)

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    server.talk.send(confirmed(b"a") + message(b"a", b"1"))

    await ear.has(b"1")


async def test_without_a_connection_the_handler_waits_for_the_next(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    await server.stop_listening()
    server.talk.reset()
    await heard(InboxLost)
    ear = Ear()
    with pytest.raises(StoreUnavailable, match="as soon as the connection is back"):
        await inbox.subscribe("a", ear)

    await server.listen()
    restored = await heard(InboxRestored, within_s=3)
    server.talk.send(message(b"a", b"1"))

    await ear.has(b"1")
    assert 0 < restored.away_s < 3


async def test_a_subscription_that_is_never_confirmed_is_told(
    server: ScriptedServer, inbox: Inbox
) -> None:
    server.answers = False

    with pytest.raises(StoreUnavailable, match="was not confirmed"):
        await inbox.subscribe("a", print)


async def test_a_subscription_that_is_refused_is_told(
    server: ScriptedServer, inbox: Inbox
) -> None:
    def only_b(command: Command) -> bytes | None:
        if command == [b"SUBSCRIBE", b"a"]:
            return b"-NOPERM No permissions to access a channel\r\n"
        return pub_sub(command)

    server.answer = only_b
    outcomes = await asyncio.gather(
        inbox.subscribe("a", print), inbox.subscribe("b", print), return_exceptions=True
    )

    assert isinstance(outcomes[0], StoreRefused)
    assert outcomes[0].code == "NOPERM"
    assert outcomes[1] is None


async def test_a_cut_while_waiting_for_a_confirmation_is_told(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    server.answers = False
    asking = asyncio.create_task(inbox.subscribe("a", print))
    await server.hears(1)

    server.answers = True
    server.talk.reset()

    with pytest.raises(StoreUnavailable, match="broke"):
        await asking
    await heard(InboxRestored)


async def test_one_loss_is_one_event_however_long_it_lasts(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    await inbox.subscribe("a", print)

    def hang_up_twice(command: Command) -> bytes | None:
        if 2 <= len(server.talks) <= 3:
            server.talk.reset()
            return None
        return pub_sub(command)

    server.answer = hang_up_twice
    server.talk.reset()
    await heard(InboxRestored, within_s=3)

    assert heard.count(InboxLost) == 1
    assert heard.count(RoleFailed) == 0
    assert len(server.talks) == 4


async def test_a_server_that_always_hangs_up_is_not_stormed(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    def hang_up(command: Command) -> None:
        server.talk.reset()

    server.answer = hang_up
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(StoreUnavailable):
        await inbox.subscribe("a", print)

    await server.until(lambda: len(server.talks) >= 5, within_s=5)

    assert loop.time() - begun >= 3 * REDIAL_S


async def test_silence_ends_the_connection(
    server: ScriptedServer, make_inbox: MakeInbox, heard: Heard, clock: ManualClock
) -> None:
    inbox = make_inbox(clock=clock)
    await inbox.start()
    await inbox.subscribe("a", print)
    server.answers = False

    await clock.advance(SILENCE_S - 0.1)
    assert await inbox.tick() == PING_EVERY_S
    await clock.advance(0.2)
    assert await inbox.tick() == 0.0
    await heard(InboxLost)
    server.answers = True
    await clock.advance(1.0)
    assert await inbox.tick() == PING_EVERY_S

    assert (await heard(InboxRestored)).away_s == pytest.approx(1.0)
    assert len(server.talks) == 2


async def test_pings_keep_a_quiet_connection(
    server: ScriptedServer, make_inbox: MakeInbox, clock: ManualClock
) -> None:
    inbox = make_inbox(clock=clock)
    await inbox.start()

    for count in range(1, 6):
        await clock.advance(PING_EVERY_S)
        before = server.pings
        await inbox.tick()
        await server.until(lambda seen=before: server.pings > seen)
        assert count
        await inbox.subscribe(f"after pong {count}", print)

    assert len(server.talks) == 1


async def test_a_handler_that_fails_harms_nobody(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    ear = Ear()

    def broken(body: bytes) -> None:
        raise ValueError(body)

    await inbox.subscribe("a", broken)
    await inbox.subscribe("a", ear)
    server.talk.send(message(b"a", b"1") + message(b"a", b"2"))

    await ear.has(b"1", b"2")
    failed = await heard(ListenerFailed)
    assert "broken" in failed.listener
    assert "ValueError" in failed.error
    assert len(server.talks) == 1


async def test_a_look_that_fails_keeps_nobody_from_looking(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    looked: list[str] = []

    def broken() -> None:
        raise ValueError("cannot look")

    leave_broken = inbox.on_resync(broken)
    inbox.on_resync(lambda: looked.append("good"))
    leave = inbox.on_resync(lambda: looked.append("left"))
    leave()
    leave()

    server.talk.reset()
    await heard(InboxRestored)
    await heard(ListenerFailed)

    assert looked == ["good"]
    leave_broken()


async def test_starting_without_a_server_is_told(heard: Heard) -> None:
    async with ScriptedServer() as gone:
        dialer = gone.dialer()
    inbox = Inbox(dialer, timeout_s=0.3, emit=heard.emit, clock=SystemClock())

    with pytest.raises(StoreUnavailable):
        await inbox.start()

    await inbox.stop()


async def test_stopping_is_quiet_and_leaves_nobody_waiting(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    server.answers = False
    asking = asyncio.create_task(inbox.subscribe("a", print))
    await server.hears(1)

    await inbox.stop()
    await inbox.stop()

    with pytest.raises(StoreUnavailable):
        await asking
    await server.until(lambda: not server.talk.is_open)
    assert heard.count(InboxLost) == 0
    with pytest.raises(StoreUnavailable):
        await inbox.subscribe("b", print)


async def test_a_server_that_lets_nobody_in_any_more_is_asked_again(
    server: ScriptedServer, inbox: Inbox, heard: Heard
) -> None:
    server.greeting[b"CLIENT"] = b"-NOAUTH Authentication required.\r\n"
    server.talk.reset()
    failed = await heard(RoleFailed)
    server.greeting[b"CLIENT"] = b"+OK\r\n"

    await heard(InboxRestored)

    assert "NOAUTH" in failed.error


async def test_what_nobody_asked_for_is_passed_over(
    server: ScriptedServer, inbox: Inbox
) -> None:
    ear = Ear()
    await inbox.subscribe("a", ear)

    server.talk.send(confirmed(b"stranger") + b"-ERR what\r\n" + b"+PONG\r\n")
    server.talk.send(message(b"a", b"1"))

    await ear.has(b"1")


class DoesNotLook(Inbox):
    """Comes back without telling anybody that messages were missed."""

    def _restored(self) -> None:
        self._lost_at = None
        self._emit(InboxRestored(server="", away_s=0))


class TakesAnyAnswer(Inbox):
    """The first confirmation of a channel is good for everybody who asked."""

    def _answered(self, channel: bytes) -> None:
        for key, answer in self._asked:
            if key == channel and not answer.done():
                answer.set_result(None)
        if self._asked:
            self._asked.popleft()


class BelievesTheFirst(Inbox):
    """Who finds another handler there takes the channel for subscribed."""

    async def subscribe(self, channel: str, hear: Callable[[bytes], None]) -> None:
        if self._handlers.get(channel.encode()):
            self._handlers[channel.encode()].append(hear)
            return
        await super().subscribe(channel, hear)


class IsContentToBeConnected(Inbox):
    """A connection without its subscriptions counts as restored."""

    async def _open(self) -> None:
        handlers, self._handlers = self._handlers, {}
        await super()._open()
        self._handlers = handlers


@pytest.mark.parametrize(
    ("story", "broken"),
    list(
        zip(
            INBOX_STORIES,
            (DoesNotLook, TakesAnyAnswer, BelievesTheFirst, IsContentToBeConnected),
            strict=True,
        )
    ),
    ids=lambda value: value.__name__,
)
async def test_the_story_goes_red(
    story: InboxStory,
    broken: type[Inbox],
    server: ScriptedServer,
    make_inbox: MakeInbox,
    heard: Heard,
) -> None:
    inbox = make_inbox(broken)
    await inbox.start()

    with pytest.raises((AssertionError, pytest.fail.Exception, TimeoutError)):
        await story(server, inbox, heard)
