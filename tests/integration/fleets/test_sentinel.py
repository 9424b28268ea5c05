"""A master that is killed, frozen or relieved: everything follows to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.fleets import SERVICE, SentinelSet, StartSentinels
from tests.integration.fleets.load import Load
from tests.servers import KINDS, Kind

from quorate.backend import Backend
from quorate.core.errors import (
    InvalidUrl,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from quorate.lease.events import SessionLost
from quorate.lease.lease import LeaseTerms
from quorate.testing.heard import Heard
from quorate.wire.events import MasterSwitched
from quorate.wire.inbox import InboxRestored
from quorate.wire.redis import Wire, open_wire

pytestmark = pytest.mark.fleet

SWITCH_WITHIN_S = 10.0

Fault = Callable[[SentinelSet], Awaitable[None]]


async def killed(fleet: SentinelSet) -> None:
    fleet.master.kill()


async def frozen(fleet: SentinelSet) -> None:
    fleet.master.pause()


async def relieved(fleet: SentinelSet) -> None:
    await asyncio.to_thread(fleet.fail_over)


@pytest.mark.parametrize("fault", [killed, frozen, relieved])
@pytest.mark.parametrize("kind", KINDS)
async def test_calls_and_messages_follow_to_the_next_master(
    kind: Kind, fault: Fault, start_sentinels: StartSentinels, heard: Heard
) -> None:
    fleet = start_sentinels(kind)
    before = fleet.master
    wire = await open_wire(fleet.url, namespace="shop", emit=heard.emit)
    got: asyncio.Queue[bytes] = asyncio.Queue()
    await wire.inbox.subscribe("{shop}:news", got.put_nowait)
    looked = asyncio.Event()
    wire.inbox.on_resync(looked.set)

    async with Load(wire.calls, ["{shop}:a", "{shop}:b"]) as load:
        await load.goes_on()
        await fault(fleet)
        switched = await heard(MasterSwitched, within_s=SWITCH_WITHIN_S)
        await load.goes_on()
        await asyncio.wait_for(looked.wait(), SWITCH_WITHIN_S)
    await wire.calls.command("PUBLISH", "{shop}:news", "hello")

    assert load.wrong == []
    assert load.longest_gap_s < 5
    print(f"{kind} {fault.__name__}: nobody answered for {load.longest_gap_s:.2f} s")
    assert switched.service == SERVICE
    assert switched.server == wire.address.shown
    assert f":{before.port}" not in switched.server
    assert fleet.master is not before
    assert fleet.master.admin.get("{shop}:a") is not None
    assert await asyncio.wait_for(got.get(), 2) == b"hello"
    await wire.stop()


async def test_a_former_master_that_comes_back_is_not_taken_for_one(
    start_sentinels: StartSentinels, heard: Heard
) -> None:
    fleet = start_sentinels()
    before = fleet.master
    wire = await open_wire(fleet.url, namespace="shop", emit=heard.emit)

    before.pause()
    await heard(MasterSwitched, within_s=SWITCH_WITHIN_S)
    before.resume()
    async with Load(wire.calls, ["{shop}:a"]) as load:
        await load.goes_on(500)

    assert load.wrong == []
    assert f":{before.port}/" not in wire.address.url
    await wire.stop()


async def test_a_session_outlives_a_switch(
    start_sentinels: StartSentinels, heard: Heard
) -> None:
    fleet = start_sentinels()
    terms = LeaseTerms(ttl_s=9.0, renew_every_s=1.0, retry_every_s=0.2)
    async with Backend(fleet.url, terms=terms, emit=heard.emit) as backend:
        tag = backend.wire.keys.config_tag
        name = await backend.session.join(tag)
        fleet.master.pause()
        await heard(MasterSwitched, within_s=SWITCH_WITHIN_S)
        until = backend.session.trusted_until(tag)
        async with asyncio.timeout(terms.ttl_s):
            while backend.session.trusted_until(tag) <= until:
                await backend.clock.sleep(0.02)

        assert backend.session.name_in(tag) == name
        assert heard.count(SessionLost) == 0
        assert fleet.master.admin.zscore(f"{tag}:S", name) is not None


async def test_a_sentinel_that_dies_is_not_missed(
    start_sentinels: StartSentinels, heard: Heard
) -> None:
    fleet = start_sentinels(replicas=1)
    wire = await open_wire(fleet.url, emit=heard.emit)

    fleet.sentinels[0].kill()
    fleet.master.kill()
    await heard(MasterSwitched, within_s=SWITCH_WITHIN_S)

    assert await wire.calls.command("ECHO", "x") == b"x"
    await wire.stop()


async def test_without_any_sentinel_the_connections_stay(
    start_sentinels: StartSentinels,
) -> None:
    fleet = start_sentinels(replicas=0)
    wire = await open_wire(fleet.url)

    for sentinel in fleet.sentinels:
        sentinel.kill()

    assert await wire.calls.command("ECHO", "x") == b"x"
    with pytest.raises(StoreUnavailable, match="No Sentinel of quorate answers"):
        await open_wire(fleet.url)
    await wire.stop()


async def test_while_there_is_no_master_calls_fail_clearly_and_soon(
    start_sentinels: StartSentinels,
) -> None:
    fleet = start_sentinels(replicas=0)
    wire = await open_wire(fleet.url)
    fleet.master.kill()

    async with asyncio.timeout(10):
        said = ""
        while "has no master" not in said:
            with pytest.raises((StoreUnavailable, OutcomeUnknown)) as refused:
                await wire.calls.command("ECHO", "x")
            said = str(refused.value)
    await fleet.servers[0].restart()

    async with asyncio.timeout(10), Load(wire.calls, ["{quorate}:a"]) as load:
        await load.goes_on()
    await wire.stop()


async def test_passwords_of_servers_and_of_sentinels_are_given_where_they_are_asked(
    start_sentinels: StartSentinels,
) -> None:
    fleet = start_sentinels(replicas=1, password="secret")
    wire = await open_wire(fleet.url)

    assert await wire.calls.command("ECHO", "x") == b"x"
    await wire.stop()

    for sentinel in fleet.sentinels:
        sentinel.admin.execute_command(
            "ACL", "SETUSER", "default", "resetpass", ">secret"
        )
    wire = await open_wire(fleet.url)
    assert await wire.calls.command("ECHO", "x") == b"x"
    await wire.stop()


async def test_an_unknown_service_is_named_with_those_that_are_known(
    start_sentinels: StartSentinels,
) -> None:
    fleet = start_sentinels(replicas=0)

    with pytest.raises(StoreRefused) as refused:
        await open_wire(fleet.url.replace("/quorate", "/mymaster"))

    assert "know no service 'mymaster'" in str(refused.value)
    assert "They know quorate" in str(refused.value)


async def test_a_replica_that_would_lose_locks_is_refused_too(
    start_sentinels: StartSentinels,
) -> None:
    fleet = start_sentinels(replicas=1)
    fleet.replicas[0].admin.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(StoreRefused, match="evicts keys"):
        await open_wire(fleet.url)


async def test_a_replica_by_itself_is_refused(start_sentinels: StartSentinels) -> None:
    fleet = start_sentinels(replicas=1)

    with pytest.raises(StoreUnavailable, match="is a replica"):
        await open_wire(fleet.replicas[0].url)


def test_a_url_without_a_service_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidUrl, match="names no service"):
        Wire("redis+sentinel://localhost:26379")


async def test_the_inbox_is_back_soon_after_a_switch(
    start_sentinels: StartSentinels, heard: Heard
) -> None:
    fleet = start_sentinels(replicas=1)
    wire = await open_wire(fleet.url, emit=heard.emit)

    await relieved(fleet)
    restored = await heard(InboxRestored, within_s=SWITCH_WITHIN_S)

    assert restored.away_s < 2
    await wire.stop()
