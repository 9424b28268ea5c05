"""What was good last is kept on disk; what is damaged is never used."""

from __future__ import annotations

import asyncio
import stat

import pytest

from quorate.config.events import LastGoodFailed
from quorate.config.last_good import LastGood
from quorate.config.model import Loaded
from quorate.core.lifecycle import Tasks

TREE = {"a": {"b": [1, "ü", None]}, "secret": "hunter2"}


@pytest.fixture
def keeper(tmp_path, heard, clock) -> LastGood:
    return LastGood(tmp_path / "kept", "shop", heard.emit, clock)


async def test_what_is_saved_is_read_again_with_its_time(keeper, clock):
    await keeper.save("store", Loaded(TREE, "e-5-x"))

    kept = await keeper.read("store")

    assert kept.loaded == Loaded(TREE, "e-5-x")
    assert kept.saved_at == clock.now()


async def test_nothing_saved_is_nothing_found(keeper, heard):
    assert await keeper.read("store") is None
    assert heard.count(LastGoodFailed) == 0


async def test_only_this_user_may_read_it(keeper):
    await keeper.save("store", Loaded(TREE, "1"))

    path = keeper.path_of("store")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_sources_and_owners_are_kept_apart(keeper, tmp_path, heard, clock):
    other = LastGood(tmp_path / "kept", "bar", heard.emit, clock)

    paths = {
        keeper.path_of("store"),
        keeper.path_of("http://a/b"),
        keeper.path_of("http://a-b"),
        other.path_of("store"),
    }

    assert len(paths) == 4
    assert all(path.parent == tmp_path / "kept" for path in paths)


async def test_a_file_cut_anywhere_is_not_used_but_the_one_before_it(keeper, heard):
    await keeper.save("store", Loaded({"n": 1}, "1"))
    await keeper.save("store", Loaded({"n": 2, "long": "x" * 50}, "2"))
    path = keeper.path_of("store")
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = await keeper.read("store")
        assert kept is not None
        assert kept.loaded.tree == {"n": 1}
    assert heard.count(LastGoodFailed) == len(whole)

    path.write_bytes(whole)
    assert (await keeper.read("store")).loaded.version == "2"


async def test_a_flipped_bit_anywhere_is_detected(keeper):
    await keeper.save("store", Loaded({"n": 1}, "1"))
    path = keeper.path_of("store")
    whole = path.read_bytes()

    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1
        path.write_bytes(damaged)
        kept = await keeper.read("store")
        assert kept is None or kept.loaded == Loaded({"n": 1}, "1")


async def test_a_disk_that_refuses_is_told_and_not_fatal(keeper, tmp_path, heard):
    (tmp_path / "kept").write_text("a file where the directory should be")

    await keeper.save("store", Loaded(TREE, "1"))
    assert await keeper.read("store") is None

    assert heard.count(LastGoodFailed) >= 1


async def test_a_half_written_file_is_never_left_behind(keeper, monkeypatch, heard):
    await keeper.save("store", Loaded({"n": 1}, "1"))

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    await keeper.save("store", Loaded({"n": 2}, "2"))

    path = keeper.path_of("store")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert (await keeper.read("store")).loaded.version == "1"
    assert "No space" in heard.all(LastGoodFailed)[0].error


async def test_only_the_newest_content_is_written_and_a_begun_write_is_ended(
    keeper, monkeypatch
):
    written = []
    save = keeper.save
    gate = asyncio.Event()

    async def slow(source: str, loaded: Loaded) -> None:
        await gate.wait()
        await save(source, loaded)
        written.append(loaded.version)

    monkeypatch.setattr(keeper, "save", slow)
    keeper.keep("store", Loaded({"n": 1}, "1"))
    tasks = Tasks()
    keeper.wake = tasks.employ(keeper).wake
    await asyncio.sleep(0)
    for number in range(2, 100):
        keeper.keep("store", Loaded({"n": number}, str(number)))

    asyncio.get_running_loop().call_later(0.01, gate.set)
    await tasks.close()
    await keeper.flush()
    await keeper.flush()

    assert written == ["1", "99"]
    assert (await keeper.read("store")).loaded.version == "99"
