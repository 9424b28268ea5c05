"""A file is believed only when it is at rest, and only its content counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.config.model import Layer
from quorate.config.sources.file import PATIENCE_S, FileSource
from quorate.config.sources.watching import FileWatch
from quorate.core.errors import ConfigInvalid


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "app.yaml"


@pytest.fixture
def source(path, skipping) -> FileSource:
    environ = {"HOST": "db"}
    return FileSource(path, None, Layer.FILE, environ, FileWatch(), skipping)


@pytest.fixture
def optional(path, skipping) -> FileSource:
    return FileSource(path, None, Layer.ENVIRONMENT_FILE, {}, FileWatch(), skipping)


async def test_a_file_is_read_filled_and_its_lines_are_known(source, path):
    path.write_text("a: 1\ndb:\n  url: redis://${HOST}:${PORT:-6379}\n")

    loaded = await source.load()

    assert loaded.tree == {"a": 1, "db": {"url": "redis://db:6379"}}
    assert loaded.place_of("db.url") == "line 3"
    assert source.load_now() == loaded


async def test_a_file_in_writing_is_waited_for(source, path, skipping):
    path.write_text("a: 1\nb")

    def second_half(count: int) -> None:
        if count == 1:
            path.write_text("a: 1\nb: 2\n")

    skipping.during = second_half
    loaded = await source.load()

    assert loaded.tree == {"a": 1, "b": 2}


async def test_a_first_half_that_parses_is_not_believed(source, path, skipping):
    path.write_text("a: 1\n")

    def second_half(count: int) -> None:
        if count == 1:
            path.write_text("a: 1\nb: 2\n")

    skipping.during = second_half

    assert (await source.load()).tree == {"a": 1, "b": 2}


async def test_a_file_that_never_rests_is_refused_within_the_patience(
    source, path, skipping
):
    path.write_text("a: 0")
    skipping.during = lambda count: path.write_text(f"a: {count}") and None
    began = skipping.time

    with pytest.raises(ConfigInvalid, match="does not come to rest"):
        await source.load()

    assert PATIENCE_S <= skipping.time - began <= PATIENCE_S + 0.2


async def test_a_broken_file_is_looked_at_for_a_second_and_then_refused(
    source, path, skipping
):
    path.write_text("a: [")
    began = skipping.time

    with pytest.raises(ConfigInvalid, match="not valid YAML"):
        await source.load()

    assert skipping.time - began >= PATIENCE_S


async def test_the_same_broken_content_is_refused_again_at_once(source, path, skipping):
    path.write_text("a: [")
    with pytest.raises(ConfigInvalid):
        await source.load()
    slept = len(skipping.slept)

    with pytest.raises(ConfigInvalid, match="not valid YAML"):
        await source.load()

    assert len(skipping.slept) == slept


async def test_a_repaired_file_is_read_again(source, path):
    path.write_text("a: [")
    with pytest.raises(ConfigInvalid):
        source.load_now()

    path.write_text("a: [1]")

    assert (await source.load()).tree == {"a": [1]}


async def test_unchanged_content_is_known_at_one_look(source, path, skipping):
    path.write_text("a: 1")
    first = await source.load()
    slept = len(skipping.slept)
    path.touch()

    assert await source.load() is first
    assert len(skipping.slept) == slept


async def test_content_is_compared_not_time(source, path):
    path.write_text("a: 1")
    before = path.stat()
    await source.load()

    path.write_text("a: 2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert (await source.load()).tree == {"a": 2}


async def test_a_file_that_is_gone_for_a_moment_is_waited_for(source, path, skipping):
    path.write_text("a: 1")
    await source.load()
    path.unlink()
    skipping.during = lambda _count: path.write_text("a: 2") and None

    assert (await source.load()).tree == {"a": 2}


async def test_a_needed_file_that_is_gone_is_refused(source):
    with pytest.raises(ConfigInvalid, match="is not there"):
        await source.load()
    with pytest.raises(ConfigInvalid, match="is not there"):
        source.load_now()


async def test_an_optional_file_may_be_missing_come_and_go(optional, path, skipping):
    assert optional.load_now().tree == {}
    assert (await optional.load()).tree == {}
    assert skipping.slept == []

    path.write_text("a: 1")
    assert (await optional.load()).tree == {"a": 1}

    path.unlink()
    began = skipping.time
    assert (await optional.load()).tree == {}
    assert skipping.time - began >= PATIENCE_S


async def test_an_optional_file_that_comes_back_at_once_was_never_gone(
    optional, path, skipping
):
    path.write_text("a: 1")
    await optional.load()
    path.unlink()
    skipping.during = lambda _count: path.write_text("a: 2") and None

    assert (await optional.load()).tree == {"a": 2}


async def test_what_cannot_be_filled_is_told_place_by_place(source, path):
    path.write_text("a: ${NOWHERE}\nb: {c: ['${ALSO}']}\n")

    with pytest.raises(ConfigInvalid) as refused:
        await source.load()

    assert "a: The variable NOWHERE is not set" in str(refused.value)
    assert "b.c[0]: The variable ALSO is not set" in str(refused.value)


async def test_a_pipe_or_a_directory_is_refused(tmp_path, skipping):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "dir.yaml").mkdir()

    for name in ("pipe.yaml", "dir.yaml"):
        source = FileSource(
            tmp_path / name, None, Layer.FILE, {}, FileWatch(), skipping
        )
        with pytest.raises(ConfigInvalid, match="is not a file"):
            await source.load()


async def test_a_file_that_cannot_be_opened_is_refused(source, path, monkeypatch):
    path.write_text("a: 1")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(ConfigInvalid, match="Permission denied"):
        await source.load()


async def test_a_swapped_link_is_another_content(tmp_path, skipping):
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "app.yaml").write_text(f"a: {number}")
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "app.yaml").symlink_to("data/app.yaml")
    source = FileSource(
        tmp_path / "app.yaml", None, Layer.FILE, {}, FileWatch(), skipping
    )
    assert (await source.load()).tree == {"a": 1}

    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").replace(tmp_path / "data")

    assert (await source.load()).tree == {"a": 2}


def test_the_name_must_say_a_format(tmp_path, skipping):
    with pytest.raises(ConfigInvalid, match="is not known"):
        FileSource(tmp_path / "app.conf", None, Layer.FILE, {}, FileWatch(), skipping)
