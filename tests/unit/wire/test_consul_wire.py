"""A wire to Consul: opened only where it can be used, closed whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.fake_consul import FakeConsul, Told

from quorate.core.errors import (
    InvalidName,
    InvalidUrl,
    MissingCapability,
    StoreRefused,
    StoreUnavailable,
)
from quorate.testing.clock import settle
from quorate.testing.heard import Heard
from quorate.wire.consul import CALLS_AT_ONCE, WATCHES_AT_ONCE, ConsulWire
from quorate.wire.redis import WireLimits, WireOpened

LEADER, SELF = "/v1/status/leader", "/v1/agent/self"


class Wire(ConsulWire):
    """One whose clients are one fake Consul."""

    def __init__(self, heard: Heard) -> None:
        super().__init__("consul://secret@h:1/team", namespace="shop", emit=heard.emit)
        self.consul = FakeConsul()
        self.consul.answers[LEADER] = Told(200, {}, '"127.0.0.1:8300"')
        self.says_version("1.20.2")
        self.opened: list[tuple[int, WireLimits]] = []

    def says_version(self, version: str) -> None:
        said = f'{{"Config": {{"Version": "{version}"}}}}'
        self.consul.answers[SELF] = Told(200, {}, said)

    def _client(self, connections: int, limits: WireLimits) -> FakeConsul:  # type: ignore[override]
        self.opened.append((connections, limits))
        return self.consul


@pytest.fixture
async def wire(heard: Heard) -> AsyncIterator[Wire]:
    wire = Wire(heard)
    yield wire
    await wire.stop()


async def test_it_opens_connections_for_calls_and_for_waiting(wire, heard):
    await wire.start()

    assert [many for many, _ in wire.opened] == [CALLS_AT_ONCE, WATCHES_AT_ONCE + 1]
    opened = await heard(WireOpened)
    assert (opened.software, opened.version) == ("consul", "1.20.2")
    assert "secret" not in opened.server
    assert wire.root == "team/shop"


async def test_a_consul_without_a_leader_is_refused(wire):
    wire.consul.answers[LEADER] = Told(200, {}, '""')

    with pytest.raises(StoreUnavailable, match="no leader"):
        await wire.start()

    assert wire.consul.is_closed


@pytest.mark.parametrize("version", ["1.7.14", "0.9.3"])
async def test_a_consul_that_is_too_old_is_refused(wire, version):
    wire.says_version(version)

    with pytest.raises(MissingCapability, match=r"1\.8 or later"):
        await wire.start()


async def test_a_token_that_may_not_ask_for_the_version_is_enough(wire, heard):
    wire.consul.fail(SELF, StoreRefused("no", "403 denied"))

    await wire.start()

    assert (await heard(WireOpened)).version == ""


@pytest.mark.parametrize("said", ["{}", "[]", '{"Config": {}}', "null"])
async def test_what_is_no_consul_is_refused(wire, said):
    wire.consul.answers[SELF] = Told(200, {}, said)

    with pytest.raises(StoreRefused, match="is not a Consul"):
        await wire.start()


async def test_before_it_is_open_there_is_nothing_to_use(wire):
    for name in ("calls", "watches"):
        with pytest.raises(MissingCapability, match="not open"):
            getattr(wire, name)


async def test_the_keepers_sessions_have_connections_and_deadlines_of_their_own(wire):
    await wire.start()

    sessions = wire.new_sessions(within_s=0.7)
    wire.new_sessions()
    await sessions.join("t", "n.1", 1_000)

    assert wire.opened[-2] == (2, WireLimits(timeout_s=0.7, connect_timeout_s=0.7))
    assert wire.opened[-1][1] == wire.limits
    assert wire.roster.id_of("n.1") is not None


async def test_the_end_of_a_session_is_told_to_who_asked(wire):
    gone: list[str] = []
    await wire.start()
    wire.on_session_gone(gone.append)
    await wire.sessions().join("t", "n.1", 1_000)

    await settle()
    await wire.consul.change("/v1/session/destroy/session-1", None)

    async with asyncio.timeout(5):
        while not gone:
            await asyncio.sleep(0.01)
    assert gone == ["n.1"]


async def test_stopping_twice_is_harmless(wire):
    await wire.start()

    await wire.stop()
    await wire.stop()

    assert len(wire.tasks) == 0


def test_what_cannot_be_used_is_refused_before_anything_is_opened():
    with pytest.raises(InvalidUrl):
        ConsulWire("consul://")
    with pytest.raises(InvalidName):
        ConsulWire("consul://h", namespace="a/b")
