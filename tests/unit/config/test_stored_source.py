"""The store is followed from revision to revision, or taken whole."""

from __future__ import annotations

import asyncio

import pytest

from quorate.config.events import ConfigResynced
from quorate.config.model import Draft, Write
from quorate.config.sources.stored import StoreSource
from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Tasks


@pytest.fixture
def source(store, heard) -> StoreSource:
    return StoreSource(store, heard.emit)


async def write(store, *values: tuple[str, object]) -> None:
    for key, value in values:
        await store.commit(Draft(f"{key}", (Write(key, value),)))


async def test_the_first_look_takes_a_snapshot_and_later_ones_follow(source, store):
    await write(store, ("a", 1))
    assert (await source.load()).tree == {"a": 1}

    await write(store, ("b", 2), ("a", 3))
    loaded = await source.load()

    assert loaded.tree == {"a": 3, "b": 2}
    assert loaded.revision == 3
    assert loaded.place_of("b") == "revision 2"
    assert store.snapshots == 1


async def test_nothing_new_is_the_same_version(source, store):
    await write(store, ("a", 1))

    assert (await source.load()).version == (await source.load()).version


async def test_many_changes_are_followed_page_by_page(source, store):
    store.page = 3
    await source.load()
    await write(store, *((f"k{n}", n) for n in range(10)))

    loaded = await source.load()

    assert len(loaded.tree) == 10
    assert store.snapshots == 1


async def test_a_gap_is_closed_by_a_snapshot_and_told(source, store, heard):
    await source.load()
    await write(store, ("a", 1))
    store.gap = "trimmed"

    assert (await source.load()).tree == {"a": 1}

    (event,) = heard.all(ConfigResynced)
    assert (event.reason, event.revision) == ("trimmed", 1)


async def test_a_store_that_is_away_is_told_and_followed_on_afterwards(source, store):
    await write(store, ("a", 1))
    await source.load()
    store.away = True
    with pytest.raises(StoreUnavailable):
        await source.load()
    store.away = False

    await write(store, ("a", 2))

    assert (await source.load()).tree == {"a": 2}
    assert store.snapshots == 1


async def test_looks_at_the_same_time_do_not_repeat_a_change(source, store):
    await source.load()
    await write(store, ("a", 1), ("b", 2))

    loaded = await asyncio.gather(*(source.load() for _ in range(10)))

    assert {one.version for one in loaded} == {loaded[0].version}


async def test_watching_hears_at_once_and_of_every_commit_until_cancelled(
    source, store
):
    tasks, told = Tasks(), []
    tasks.spawn(source.watch(lambda: told.append(1)), "watch")
    await asyncio.sleep(0)
    assert told == [1]

    await write(store, ("a", 1))
    assert told == [1, 1]

    await tasks.close()
    assert store.listeners == []
