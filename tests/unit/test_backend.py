"""A backend: opened once, wholly or not at all, and closed wholly even if cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from quorate.backend import Backend, Backends
from quorate.core.errors import InvalidUrl, MissingCapability, StoreUnavailable
from quorate.lease.events import SessionEnded, SessionSwept
from quorate.lease.keeper import Keeper
from quorate.lease.lease import LeaseTerms
from quorate.lease.sweeper import Room
from quorate.testing.clock import settle
from quorate.testing.heard import Heard

TERMS = LeaseTerms(ttl_s=0.8, renew_every_s=0.2, retry_every_s=0.05)


def nothing_is_left() -> bool:
    threads = {thread.name for thread in threading.enumerate()}
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return not tasks and not threads & {"quorate-keeper", "memory server"}


@pytest.fixture
async def backend(namespace: str, heard: Heard) -> AsyncIterator[Backend]:
    backend = Backend(
        f"memory://{namespace}", namespace=namespace, terms=TERMS, emit=heard.emit
    )
    yield backend
    await backend.stop()
    await settle()
    assert nothing_is_left()


async def test_it_is_open_for_the_length_of_the_block(
    backend: Backend, heard: Heard
) -> None:
    async with backend as opened:
        assert opened is backend
        name = await backend.session.join(backend.wire.keys.tag)
        assert backend.session.is_alive(backend.wire.keys.tag, name)

    assert heard.count(SessionEnded) == 1


async def test_before_it_is_open_there_is_nothing_to_use(backend: Backend) -> None:
    for name in ("session", "sweeper"):
        with pytest.raises(RuntimeError, match="not open"):
            getattr(backend, name)


async def test_it_is_opened_once(backend: Backend) -> None:
    await backend.start()
    with pytest.raises(RuntimeError, match="make a new one"):
        await backend.start()
    await backend.stop()

    with pytest.raises(RuntimeError, match="make a new one"):
        await backend.start()


def test_a_bad_url_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidUrl):
        Backend("redis://")


async def test_a_server_that_is_not_there_leaves_nothing_and_may_be_tried_again() -> (
    None
):
    backend = Backend("redis://127.0.0.1:1")

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await backend.start()

    await backend.stop()
    assert nothing_is_left()


async def test_a_keeper_that_does_not_start_leaves_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Keeper) -> None:
        raise StoreUnavailable("no thread today")

    monkeypatch.setattr(Keeper, "start", broken)

    with pytest.raises(StoreUnavailable, match="no thread today"):
        await backend.start()

    await settle()
    assert nothing_is_left()


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30, 100])
async def test_a_start_may_be_cancelled_at_any_moment(
    backend: Backend, turns: int
) -> None:
    starting = asyncio.create_task(backend.start())
    for _ in range(turns):
        await asyncio.sleep(0)

    starting.cancel()
    await asyncio.wait([starting])
    if not starting.cancelled():
        await backend.stop()

    await settle()
    assert nothing_is_left()


@pytest.mark.parametrize("cancels", [1, 2, 5])
async def test_a_cancelled_stop_closes_all_the_same(
    backend: Backend, cancels: int
) -> None:
    await backend.start()
    await backend.session.join(backend.wire.keys.tag)
    stopping = asyncio.create_task(backend.stop())
    for _ in range(cancels):
        await asyncio.sleep(0)
        stopping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stopping

    await settle()
    assert nothing_is_left()


async def test_an_error_while_the_session_ends_closes_all_the_same(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.start()

    async def broken() -> None:
        raise KeyError("odd")

    monkeypatch.setattr(backend.session, "end", broken)

    with pytest.raises(KeyError):
        await backend.stop()

    await settle()
    assert nothing_is_left()
    monkeypatch.undo()


async def test_it_cleans_up_after_the_dead_of_other_processes(
    backend: Backend, namespace: str, heard: Heard
) -> None:
    cleaned: list[str] = []

    async def clean(tag: str, session: str) -> None:
        cleaned.append(session)

    async with backend:
        backend.sweeper.add(Room(clean=clean, index_key=lambda tag: f"{tag}:x:I"))
        await backend.session.join(backend.wire.keys.tag)
        other = Backend(backend.url, namespace=namespace, terms=TERMS)
        async with other:
            name = await other.session.join(other.wire.keys.tag)

        await heard(SessionSwept, session=name, within_s=2)

    assert cleaned == [name]


def test_only_locks_can_stand_on_consul() -> None:
    given = dict.fromkeys(("locks", "registry", "queue", "config"), "memory://a")

    Backends(**given | {"locks": "consul://localhost"}).check()

    for name in ("registry", "queue", "config"):
        with pytest.raises(InvalidUrl, match=f"{name} cannot stand on consul://"):
            Backends(**given | {name: "consul://localhost"}).check()


def test_a_consul_url_is_checked_before_anything_is_opened() -> None:
    with pytest.raises(InvalidUrl, match="names no host"):
        Backends("consul://", "memory://a", "memory://a", "memory://a").check()


def test_what_needs_a_redis_says_so_on_consul() -> None:
    backend = Backend("consul://localhost")

    with pytest.raises(MissingCapability, match="only the locks"):
        _ = backend.wire
