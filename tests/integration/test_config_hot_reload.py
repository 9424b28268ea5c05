"""Files are written in every way that editors and Kubernetes know, again and again.

Each round ends with a value that was never there before, in a file that is complete.
The manager must come to exactly that value, tell of it once, and never show, or fail
on, anything in between.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from quorate.config.events import ConfigSourceFailed
from quorate.config.manager import ConfigManager
from quorate.config.options import ConfigOptions
from quorate.core.errors import ConfigInvalid
from quorate.core.lifecycle import RoleFailed, TaskCrashed
from quorate.watch.events import CallbackFailed

ROUNDS = 12
WITHIN_S = 5.0
HALF_S = 0.01

Write = Callable[[Path, str], Awaitable[None]]

_suffix = itertools.count()


async def at_once(path: Path, text: str) -> None:
    path.write_text(text)


async def in_two_halves(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        await asyncio.sleep(HALF_S)
        file.write(text[len(text) // 2 :])


async def aside_and_renamed(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{next(_suffix)}")
    aside.write_text(text)
    aside.replace(path)


async def deleted_and_created_again(path: Path, text: str) -> None:
    path.unlink()
    await asyncio.sleep(HALF_S)
    path.write_text(text)


async def saved_by_an_editor(path: Path, text: str) -> None:
    """As vim does it: the old file is kept as a backup until the new one is there."""
    backup = path.with_name(f"{path.name}~")
    path.replace(backup)
    path.write_text(text)
    os.utime(path)
    backup.unlink()


async def swapped_as_a_config_map(path: Path, text: str) -> None:
    """As the kubelet does it: a new directory, and `..data` is pointed to it."""
    mount = path.parent
    fresh = mount / f"..2026_{next(_suffix)}"
    fresh.mkdir()
    (fresh / path.name).write_text(text)
    pointer = mount / "..data_tmp"
    pointer.symlink_to(fresh.name)
    old = (mount / "..data").readlink() if (mount / "..data").is_symlink() else None
    pointer.replace(mount / "..data")
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(Path("..data") / path.name)
    if old is not None:
        (mount / old / path.name).unlink()
        (mount / old).rmdir()


WAYS = [
    at_once,
    in_two_halves,
    aside_and_renamed,
    deleted_and_created_again,
    saved_by_an_editor,
    swapped_as_a_config_map,
]


def text_of(number: int) -> str:
    """A file in which a torn read would show: `first` and `last` must agree."""
    filling = "\n".join(f"  k{n}: {number}" for n in range(200))
    return f"first: {number}\nfilling:\n{filling}\nlast: {number}\n"


class Scene:
    """A manager that follows one file, and everything that it was seen to do."""

    def __init__(self, path: Path, manager: ConfigManager) -> None:
        self.path = path
        self.manager = manager
        self.told: list[int] = []
        self.torn: list[tuple[object, object]] = []
        self._news = asyncio.Event()
        manager.add_change_callback(self._on_change)

    def _on_change(self, change) -> None:
        values = change.new.paths
        if values.get("first") != values.get("last"):
            self.torn.append((values.get("first"), values.get("last")))
        self.told.append(values["first"])
        self._news.set()

    async def until(self, number: int) -> float:
        """Wait until `number` is told; the seconds that it took."""
        began = time.perf_counter()
        async with asyncio.timeout(WITHIN_S):
            while not self.told or self.told[-1] != number:
                self._news.clear()
                await self._news.wait()
        return time.perf_counter() - began


@pytest.fixture
async def scene(tmp_path: Path, heard) -> AsyncIterator[Scene]:
    path = tmp_path / "mount" / "app.yaml"
    path.parent.mkdir()
    path.write_text(text_of(0))
    options = ConfigOptions(environment="production")
    async with ConfigManager(options=options, emit=heard.emit) as manager:
        manager.add_file_source(path)
        scene = Scene(path, manager)
        assert await manager.settled(WITHIN_S)
        yield scene
    assert heard.count(RoleFailed) == 0
    assert heard.count(TaskCrashed) == 0
    assert heard.count(CallbackFailed) == 0


@pytest.mark.parametrize("write", WAYS, ids=lambda way: way.__name__)
async def test_a_file_written_again_and_again_is_always_right_and_told_once(
    scene, heard, write: Write, record_property
):
    took = []

    for number in range(1, ROUNDS + 1):
        await write(scene.path, text_of(number))
        took.append(await scene.until(number))

    assert scene.told == list(range(1, ROUNDS + 1))
    assert scene.torn == []
    assert scene.manager.get("last") == ROUNDS
    assert heard.count(ConfigSourceFailed) == 0
    record_property("median_s", statistics.median(took))
    assert statistics.median(took) < 0.5


async def test_all_ways_in_turn_on_one_file(scene, heard):
    numbers = itertools.count(1)
    rounds = 0

    for write in WAYS[:-1] * 3:
        number = next(numbers)
        await write(scene.path, text_of(number))
        await scene.until(number)
        rounds += 1

    assert scene.told == list(range(1, rounds + 1))
    assert scene.torn == []


async def test_a_reader_never_misses_a_key_while_the_file_changes(scene):
    reads = 0

    async def read_all_the_time() -> None:
        nonlocal reads
        while scene.manager.get("first") < 40:
            snapshot = scene.manager.snapshot
            assert snapshot.paths["first"] == snapshot.paths["filling.k7"]
            assert snapshot.paths["first"] == snapshot.paths["last"]
            reads += 1
            await asyncio.sleep(0)

    async def write_all_the_time() -> None:
        for number in range(1, 41):
            await aside_and_renamed(scene.path, text_of(number))
            await asyncio.sleep(HALF_S)

    async with asyncio.timeout(30):
        await asyncio.gather(read_all_the_time(), write_all_the_time())

    assert scene.torn == []
    assert reads > 100


async def test_a_broken_file_is_told_once_and_its_repair_is_seen_soon(scene, heard):
    scene.path.write_text("first: 1\n  broken: [\n")
    failed = await heard(ConfigSourceFailed)
    assert "line 2" in failed.error
    with pytest.raises(ConfigInvalid):
        await scene.manager.reload_config()
    assert scene.manager.get("last") == 0

    scene.path.write_text(text_of(2))

    assert await scene.until(2) < 1.0
    assert heard.count(ConfigSourceFailed) == 1
    assert scene.told == [2]


async def test_the_file_of_the_environment_may_come_and_go(scene):
    specific = scene.path.with_name("app.production.yaml")

    specific.write_text("first: 100\nlast: 100\n")
    await scene.until(100)
    specific.unlink()
    await scene.until(0)

    assert scene.told == [100, 0]


async def test_a_directory_that_is_replaced_is_watched_again(scene):
    directory = scene.path.parent

    for number in (1, 2, 3):
        fresh = directory.with_name("fresh")
        fresh.mkdir()
        (fresh / scene.path.name).write_text(text_of(number))
        directory.rename(directory.with_name(f"old{number}"))
        fresh.rename(directory)
        await scene.until(number)

    await at_once(scene.path, text_of(4))
    await scene.until(4)
    assert scene.told == [1, 2, 3, 4]


async def test_a_file_added_while_running_is_followed(scene, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("[other]\nvalue = 1\n")
    seen: asyncio.Queue = asyncio.Queue()
    scene.manager.add_file_source(other)
    scene.manager.watch_config("other.value", seen.put)

    other.write_text("[other]\nvalue = 2\n")

    async with asyncio.timeout(WITHIN_S):
        assert await seen.get() == 2
