"""Sessions on every server: the server judges who is alive, and nobody revives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.anywhere import a_tag, forget_scripts
from tests.servers import KINDS, Kind, StartServer

from quorate.backend import Backend
from quorate.core.clock import SystemClock
from quorate.core.errors import StoreRefused
from quorate.lease.events import SessionLost, SessionSwept
from quorate.lease.lease import LeaseTerms
from quorate.lease.sweeper import Room
from quorate.testing.heard import Heard
from quorate.wire.keys import sessions_key
from quorate.wire.redis import Wire, open_wire
from quorate.wire.sessions import MOST_DEAD, RedisSessions

LONG_MS = 60_000
SHORT_MS = 20
TERMS = LeaseTerms(ttl_s=0.8, renew_every_s=0.2, retry_every_s=0.05)


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
def rows(wire: Wire) -> RedisSessions:
    return RedisSessions(wire.calls)


@pytest.fixture
def tag(wire: Wire) -> str:
    return a_tag(wire)


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 3.0) -> None:
    """Wait for something on the server that nobody tells of."""
    clock = SystemClock()
    async with asyncio.timeout(within_s):
        while not await holds():
            await clock.sleep(0.005)


async def is_dead(rows: RedisSessions, tag: str, session: str) -> bool:
    return session in await rows.dead(tag)


async def test_a_session_lives_for_its_ttl_from_when_the_server_got_it(
    wire: Wire, rows: RedisSessions, tag: str
) -> None:
    before = time.time()

    assert await rows.join(tag, "a.1", LONG_MS)

    score = float(await wire.calls.command("ZSCORE", sessions_key(tag), "a.1"))
    assert score == int(score)
    assert before - 1 <= (score - LONG_MS) / 1000 <= time.time() + 1


async def test_entering_twice_is_entering_once(rows: RedisSessions, tag: str) -> None:
    assert await rows.join(tag, "a.1", LONG_MS)
    assert await rows.join(tag, "a.1", LONG_MS)
    assert await rows.dead(tag) == []


async def test_what_has_ended_by_itself_is_dead_and_is_never_revived(
    rows: RedisSessions, tag: str
) -> None:
    await rows.join(tag, "a.1", SHORT_MS)
    await until(lambda: is_dead(rows, tag, "a.1"))

    renewed, _, _, dead = await rows.renew(tag, "a.1", LONG_MS)

    assert (renewed, dead) == (False, 1)
    assert not await rows.join(tag, "a.1", LONG_MS)
    assert not await rows.end(tag, "a.1")
    assert await rows.dead(tag) == ["a.1"]


async def test_what_was_ended_is_dead_at_once_and_is_never_revived(
    rows: RedisSessions, tag: str
) -> None:
    await rows.join(tag, "a.1", LONG_MS)

    assert await rows.end(tag, "a.1")

    assert not await rows.end(tag, "a.1")
    assert await rows.dead(tag) == ["a.1"]
    assert not (await rows.renew(tag, "a.1", LONG_MS))[0]
    assert not await rows.join(tag, "a.1", LONG_MS)


async def test_who_was_never_there_cannot_be_renewed_or_ended(
    rows: RedisSessions, tag: str
) -> None:
    renewed, _, left_s, dead = await rows.renew(tag, "nobody", LONG_MS)

    assert (renewed, left_s, dead) == (False, None, 0)
    assert not await rows.end(tag, "nobody")
    assert not await rows.bury(tag, "nobody", [])
    assert await rows.dead(tag) == []


async def test_renewing_prolongs_and_tells_of_the_others(
    rows: RedisSessions, tag: str
) -> None:
    await rows.join(tag, "me.1", 500)
    await rows.join(tag, "other.1", 30_000)
    await rows.join(tag, "gone.1", LONG_MS)
    await rows.end(tag, "gone.1")

    renewed, now_s, left_s, dead = await rows.renew(tag, "me.1", LONG_MS)

    assert (renewed, dead) == (True, 1)
    assert left_s == pytest.approx(30, abs=1)
    assert now_s == pytest.approx(time.time(), abs=2)


async def test_tags_are_apart(rows: RedisSessions, wire: Wire, tag: str) -> None:
    other = f"{tag[:-1]}-other}}"
    await rows.join(tag, "a.1", LONG_MS)
    await rows.join(other, "a.1", LONG_MS)

    await rows.end(tag, "a.1")

    assert (await rows.renew(other, "a.1", LONG_MS))[0]
    await wire.calls.command("DEL", sessions_key(other))


async def test_the_dead_are_told_in_pages_and_the_living_never(
    rows: RedisSessions, tag: str
) -> None:
    names = [f"gone.{number}" for number in range(MOST_DEAD + 5)]
    for name in names:
        await rows.join(tag, name, LONG_MS)
        await rows.end(tag, name)
    await rows.join(tag, "alive.1", LONG_MS)

    page = await rows.dead(tag)

    assert len(page) == MOST_DEAD
    assert set(page) < set(names)
    assert (await rows.renew(tag, "alive.1", LONG_MS))[3] == len(names)


async def test_only_the_dead_without_claims_are_buried_and_once(
    wire: Wire, rows: RedisSessions, tag: str
) -> None:
    index = f"{tag}:x:I"
    await rows.join(tag, "a.1", LONG_MS)
    await wire.calls.command("SADD", index, "a.1")
    assert not await rows.bury(tag, "a.1", [])
    await rows.end(tag, "a.1")

    assert not await rows.bury(tag, "a.1", [f"{tag}:y:I", index])
    await wire.calls.command("SREM", index, "a.1")
    assert await rows.bury(tag, "a.1", [f"{tag}:y:I", index])

    assert not await rows.bury(tag, "a.1", [index])
    assert await rows.dead(tag) == []


async def test_a_server_that_forgot_its_scripts_is_told_them_again(
    wire: Wire, rows: RedisSessions, tag: str
) -> None:
    await rows.join(tag, "a.1", LONG_MS)
    await forget_scripts(wire)

    assert (await rows.renew(tag, "a.1", LONG_MS))[0]


async def test_many_at_once_are_answered_each_his_own(
    rows: RedisSessions, tag: str
) -> None:
    names = [f"s.{number}" for number in range(500)]
    await asyncio.gather(*(rows.join(tag, name, LONG_MS) for name in names))

    ended = await asyncio.gather(*(rows.end(tag, name) for name in names[::2]))
    renewed = await asyncio.gather(*(rows.renew(tag, name, LONG_MS) for name in names))

    assert all(ended)
    assert [alive for alive, *_ in renewed] == [False, True] * 250


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_server_loses_no_session(
    kind: Kind, start_server: StartServer, namespace: str
) -> None:
    server = start_server(kind, options={"maxmemory": "8mb"})
    wire = await open_wire(server.url, namespace=namespace)
    rows, tag = RedisSessions(wire.calls), wire.keys.tag
    await rows.join(tag, "a.1", LONG_MS)
    filler = b"x" * 100_000
    with pytest.raises(StoreRefused) as full:
        for number in range(200):
            await wire.calls.command("SET", f"filler-{number}", filler)

    assert full.value.code == "OOM"
    assert (await rows.renew(tag, "a.1", LONG_MS))[0]
    assert await rows.join(tag, "b.1", LONG_MS)
    assert await rows.end(tag, "a.1")
    assert await rows.dead(tag) == ["a.1"]
    assert await rows.bury(tag, "a.1", [])
    await wire.stop()


# The whole of it: two processes' worth of backends on one server.


@pytest.fixture
async def two(
    redis_url: str, namespace: str, heard: Heard
) -> AsyncIterator[tuple[Backend, Backend]]:
    first, second = [
        Backend(redis_url, namespace=namespace, terms=TERMS, emit=heard.emit)
        for _ in range(2)
    ]
    async with first, second:
        yield first, second


async def test_two_processes_live_side_by_side_and_one_ends_for_the_other_to_see(
    two: tuple[Backend, Backend], heard: Heard
) -> None:
    first, second = two
    tag = a_tag(first.wire)
    cleaned: list[tuple[str, str]] = []

    async def clean(tag: str, session: str) -> None:
        cleaned.append((tag, session))

    second.sweeper.add(Room(clean=clean, index_key=lambda tag: f"{tag}:x:I"))
    name, _ = await first.session.join(tag), await second.session.join(tag)

    await first.stop()
    swept = await heard(SessionSwept, within_s=TERMS.renew_every_s + 1.0)

    assert (swept.session, swept.tag) == (name, tag)
    assert cleaned == [(tag, name)]
    assert heard.count(SessionLost) == 0


async def test_a_process_whose_keeper_dies_loses_and_the_other_cleans(
    two: tuple[Backend, Backend], heard: Heard
) -> None:
    first, second = two
    tag = a_tag(first.wire)
    await second.session.join(tag)
    name = await first.session.join(tag)
    keeper = first._household._open[-1]
    renew = keeper._store.renew  # type: ignore[attr-defined]

    async def silent(*what: object) -> object:
        raise TimeoutError

    keeper._store.renew = silent  # type: ignore[attr-defined]
    lost = await heard(SessionLost, within_s=2 * TERMS.ttl_s)
    swept = await heard(SessionSwept, within_s=2 * TERMS.ttl_s)
    keeper._store.renew = renew  # type: ignore[attr-defined]

    assert lost.session == swept.session == name
    fresh = await first.session.join(tag)
    assert fresh != name
    assert fresh.rpartition(".")[0] == name.rpartition(".")[0]
    assert await second.session.join(tag) != name


async def test_what_the_server_ends_its_owner_learns(
    two: tuple[Backend, Backend], heard: Heard
) -> None:
    first, second = two
    tag = a_tag(first.wire)
    name = await first.session.join(tag)

    await RedisSessions(second.wire.calls).end(tag, name)

    lost = await heard(SessionLost, within_s=TERMS.renew_every_s + 1.0)
    assert (lost.session, lost.why) == (name, "the server had ended it")
    assert first.session.name_in(tag) is None
    assert not await RedisSessions(second.wire.calls).join(tag, name, LONG_MS)
