"""Who the master is, by the word of Sentinels that may be silent, late or wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.wire.scripted_server import (
    Command,
    ScriptedServer,
    array,
    bulk,
    echo,
    message,
    pub_sub,
)

import quorate.wire.sentinel_server as sentinel_server
from quorate.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from quorate.testing.heard import Heard
from quorate.wire.events import MasterSwitched
from quorate.wire.fleet_urls import Spot, read_fleet_url
from quorate.wire.inbox import InboxLost, InboxRestored
from quorate.wire.limits import WireLimits
from quorate.wire.redis import Wire
from quorate.wire.sentinel import SWITCH
from quorate.wire.sentinel_server import SentinelServer

LIMITS = WireLimits(timeout_s=2.0, connect_timeout_s=1.0)


class ScriptedSentinel(ScriptedServer):
    """Says of one service that its master is at this port."""

    def __init__(self, port: int = 7000, epoch: int = 1, flags: str = "master") -> None:
        super().__init__(self._answers)
        self.master_port = port
        self.epoch = epoch
        self.flags = flags
        self.password = b""
        self.service = b"shop"

    def switch(self, port: int) -> None:
        """A switch that this Sentinel knows of and tells."""
        before, self.master_port = self.master_port, port
        self.epoch += 1
        body = f"shop 127.0.0.1 {before} 127.0.0.1 {port}".encode()
        for talk in self.talks:
            if talk.is_open and [b"SUBSCRIBE", SWITCH.encode()] in talk.heard:
                talk.send(message(SWITCH.encode(), body))

    def _answers(self, command: Command) -> bytes | None:
        assert self.asked is not None
        known = not self.password or [b"AUTH", self.password] in self.asked.heard
        match command:
            case [b"AUTH", word]:
                right = bool(self.password) and word == self.password
                return b"+OK\r\n" if right else b"-WRONGPASS no\r\n"
            case [b"SENTINEL", b"MASTERS"] if known:
                return array(self._state())
            case [b"SENTINEL", b"MASTERS"]:
                return b"-NOAUTH Authentication required.\r\n"
        return pub_sub(command)

    def _state(self) -> bytes:
        facts = {
            b"name": self.service,
            b"ip": b"127.0.0.1",
            b"port": b"%d" % self.master_port,
            b"flags": self.flags.encode(),
            b"config-epoch": b"%d" % self.epoch,
            b"num-other-sentinels": b"2",
        }
        return array(*(bulk(word) for pair in facts.items() for word in pair))


def master(server: ScriptedServer, role: bytes = b"master") -> ScriptedServer:
    """Let `server` be a master, or call itself something else."""

    def answer(command: Command) -> bytes | None:
        match command:
            case [b"ROLE"]:
                return array(bulk(role), bulk(b"0"), array())
            case [b"INFO"]:
                return bulk(b"redis_version:7.2.4\r\nrole:master\r\n")
        return pub_sub(command) or echo(command)

    server.answer = answer
    return server


@pytest.fixture
async def sentinels() -> AsyncIterator[list[ScriptedSentinel]]:
    sentinels = [ScriptedSentinel() for _ in range(3)]
    for sentinel in sentinels:
        sentinel.greeting.pop(b"AUTH")
        await sentinel.listen()
    yield sentinels
    for sentinel in sentinels:
        await sentinel.__aexit__(None, None, None)


@pytest.fixture
async def servers() -> AsyncIterator[list[ScriptedServer]]:
    servers = [master(ScriptedServer()) for _ in range(2)]
    for server in servers:
        await server.listen()
    yield servers
    for server in servers:
        await server.__aexit__(None, None, None)


Url = Callable[..., str]


@pytest.fixture
def url(sentinels: list[ScriptedSentinel]) -> Url:
    def url(who: str = "", service: str = "shop") -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        return f"redis+sentinel://{who and who + '@'}{hosts}/{service}"

    return url


async def resolved(url: str) -> str:
    return (await SentinelServer(read_fleet_url(url)).resolve()).url


async def test_the_master_is_where_they_say(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    server = SentinelServer(read_fleet_url(url("me:secret") + "/3"))

    address = await server.resolve()

    assert address is server.address
    assert address.url == "redis://me:secret@127.0.0.1:7000/3"
    assert address.shared == url("me:secret") + "/3"
    assert address.shown == "redis://127.0.0.1:7000/3"
    await server.close()


async def test_before_it_was_asked_for_there_is_no_address(url: Url) -> None:
    with pytest.raises(RuntimeError, match="resolve"):
        _ = SentinelServer(read_fleet_url(url())).address


async def test_who_slept_through_the_switch_is_overruled(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    sentinels[0].master_port, sentinels[0].epoch = 6999, 0

    for _ in range(5):
        assert ":7000/" in await resolved(url())


async def test_who_has_not_heard_of_a_switch_yet_does_not_lead_back(
    sentinels: list[ScriptedSentinel], url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's switch is known to one Sentinel first; the two others answer."""
    server = SentinelServer(read_fleet_url(url()))
    await server.resolve()
    for sentinel in sentinels[1:]:
        sentinel.answers = True
    sentinels[0].answers = False

    server.switched_to(Spot("127.0.0.1", 7001))
    assert ":7001/" in (await server.resolve()).url

    for sentinel in sentinels[1:]:
        sentinel.epoch = 2  # And it has come back to be the master.
    assert ":7000/" in (await server.resolve()).url

    monkeypatch.setattr(sentinel_server, "LEFT_S", 0.0)
    server.switched_to(Spot("127.0.0.1", 7001))
    assert ":7000/" in (await server.resolve()).url


async def test_who_slept_through_the_switch_is_overruled_though_he_is_the_quickest(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    stale, *others = sentinels
    stale.master_port, stale.epoch = 6999, 0
    for sentinel in others:
        sentinel.answers = False
    found = asyncio.create_task(resolved(url()))
    for sentinel in sentinels:
        await sentinel.until(lambda s=sentinel: [b"SENTINEL", b"MASTERS"] in s.heard)
    await stale.until(lambda: not stale.talk.is_open)

    for sentinel in others:
        if sentinel.talk.is_open:
            sentinel.talk.send(array(sentinel._state()))

    assert ":7000/" in await found


async def test_one_that_is_silent_keeps_nobody_waiting(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    sentinels[0].answers = False

    async with asyncio.timeout(0.5):
        assert ":7000/" in await resolved(url())


async def test_the_last_one_that_answers_is_enough(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    for sentinel in sentinels[1:]:
        await sentinel.stop_listening()

    assert ":7000/" in await resolved(url())


async def test_when_none_answers_each_is_named_with_its_reason(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    for sentinel in sentinels:
        await sentinel.stop_listening()

    with pytest.raises(StoreUnavailable) as refused:
        await resolved(url())

    assert all(f"127.0.0.1:{s.port}: " in refused.value.why for s in sentinels)


@pytest.mark.parametrize("flags", ["master,s_down", "master,o_down", "slave"])
async def test_a_master_that_is_down_is_no_master(
    flags: str, sentinels: list[ScriptedSentinel], url: Url
) -> None:
    for sentinel in sentinels:
        sentinel.flags = flags

    with pytest.raises(StoreUnavailable, match="shop has no master right now"):
        await resolved(url())


async def test_one_who_alone_cannot_see_the_master_is_overruled(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    sentinels[0].flags = "master,s_down"
    await sentinels[1].stop_listening()

    assert ":7000/" in await resolved(url())


async def test_an_unknown_service_is_refused_with_those_that_are_known(
    url: Url,
) -> None:
    with pytest.raises(StoreRefused) as refused:
        await resolved(url(service="shopp"))

    assert refused.value.why == "They know shop."


async def test_a_password_is_told_only_to_those_that_ask_for_one(
    sentinels: list[ScriptedSentinel], url: Url
) -> None:
    sentinels[0].password = b"secret"
    server = SentinelServer(read_fleet_url(url(":secret")))

    for _ in range(3):
        await server.resolve()
        await server._ask(read_fleet_url(url()).spots[0])

    asked = [word for s in sentinels[1:] for [word, *_] in s.heard]
    assert b"AUTH" not in asked
    assert [b"AUTH", b"secret"] in sentinels[0].heard


@pytest.mark.parametrize("who", ["", ":wrong"])
async def test_who_is_not_let_in_anywhere_hears_why(
    who: str, sentinels: list[ScriptedSentinel], url: Url
) -> None:
    for sentinel in sentinels:
        sentinel.password = b"secret"

    with pytest.raises(StoreUnavailable, match="No Sentinel of shop answers"):
        await resolved(url(who))


@pytest.fixture
async def wire(
    sentinels: list[ScriptedSentinel],
    servers: list[ScriptedServer],
    url: Url,
    heard: Heard,
) -> AsyncIterator[Wire]:
    for sentinel in sentinels:
        sentinel.master_port = servers[0].port
    wire = Wire(url(), limits=LIMITS, emit=heard.emit)
    await wire.start()
    yield wire
    await wire.stop()


async def test_a_switch_is_followed_at_once_though_the_old_master_says_nothing(
    wire: Wire,
    sentinels: list[ScriptedSentinel],
    servers: list[ScriptedServer],
    heard: Heard,
) -> None:
    servers[0].answers = False
    stuck = asyncio.create_task(wire.calls.command("ECHO", "stuck"))
    await servers[0].until(lambda: [b"ECHO", b"stuck"] in servers[0].heard)

    for sentinel in sentinels:
        sentinel.switch(servers[1].port)
    switched = await heard(MasterSwitched, within_s=1.0)
    outcome = (await asyncio.gather(stuck, return_exceptions=True))[0]

    assert type(outcome).__name__ == "OutcomeUnknown"
    assert await wire.calls.command("ECHO", "new") == b"new"
    assert [b"ECHO", b"new"] in servers[1].heard
    assert switched.server == wire.address.shown == f"{servers[1].url}/0"
    await heard(InboxLost)
    await heard(InboxRestored)
    assert heard.count(MasterSwitched) == 1


async def test_a_switch_that_was_missed_is_found_by_looking(
    wire: Wire,
    sentinels: list[ScriptedSentinel],
    servers: list[ScriptedServer],
    heard: Heard,
) -> None:
    for sentinel in sentinels:
        sentinel.master_port, sentinel.epoch = servers[1].port, 9
        for talk in sentinel.talks:
            talk.reset()

    switched = await heard(MasterSwitched, within_s=3.0)

    assert switched.server == f"{servers[1].url}/0"
    assert await wire.calls.command("ECHO", "new") == b"new"


async def test_news_of_another_service_are_nothing_to_us(
    wire: Wire, sentinels: list[ScriptedSentinel], servers: list[ScriptedServer]
) -> None:
    for sentinel in sentinels:
        for talk in sentinel.talks:
            body = f"other 127.0.0.1 1 127.0.0.1 {servers[1].port}".encode()
            if talk.is_open:
                talk.send(message(SWITCH.encode(), body))
                talk.send(message(SWITCH.encode(), b"nonsense"))

    assert await wire.calls.command("ECHO", "x") == b"x"
    assert [b"ECHO", b"x"] in servers[0].heard


async def test_a_server_that_calls_itself_a_replica_is_left(
    wire: Wire, servers: list[ScriptedServer]
) -> None:
    master(servers[0], role=b"slave")
    for talk in servers[0].talks:
        talk.reset()

    async with asyncio.timeout(2):
        said = ""
        while "not the master" not in said:
            try:
                await wire.calls.command("ECHO", "x")
            except (StoreUnavailable, OutcomeUnknown) as error:
                said = str(error)
    master(servers[0])

    assert await wire.calls.command("ECHO", "y") == b"y"


async def test_one_that_may_not_say_its_role_is_believed(
    wire: Wire, servers: list[ScriptedServer]
) -> None:
    answer = servers[0].answer
    servers[0].answer = lambda command: (
        b"-NOPERM role\r\n" if command == [b"ROLE"] else answer(command)
    )
    for talk in servers[0].talks:
        talk.reset()
    await servers[0].until(lambda: not servers[0].talks[0].is_open)

    async with asyncio.timeout(2):
        while True:
            try:
                assert await wire.calls.command("ECHO", "x") == b"x"
                break
            except (StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.01)


async def test_the_keepers_connection_finds_the_master_in_its_own_thread(
    wire: Wire, sentinels: list[ScriptedSentinel], servers: list[ScriptedServer]
) -> None:
    calls = wire.new_calls(resolving=False)
    for sentinel in sentinels:
        sentinel.master_port, sentinel.epoch = servers[1].port, 9

    assert await calls.command("ECHO", "there") == b"there"
    assert [b"ECHO", b"there"] in servers[1].heard
    await calls.close()


async def test_without_a_sentinel_to_listen_to_it_does_not_start(
    sentinels: list[ScriptedSentinel], servers: list[ScriptedServer], url: Url
) -> None:
    for sentinel in sentinels:
        sentinel.master_port = servers[0].port
        answers = sentinel._answers
        sentinel.answer = lambda command, answers=answers: (
            b"-NOPERM\r\n" if command[0] == b"SUBSCRIBE" else answers(command)
        )
    wire = Wire(url(), limits=LIMITS)

    with pytest.raises(StoreRefused, match="refused a subscription"):
        await wire.start()
