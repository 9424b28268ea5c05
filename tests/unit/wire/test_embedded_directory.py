"""The directory of an embedded server: one lock, and an address that can be trusted."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from quorate.core.errors import InvalidUrl, MissingCapability
from quorate.wire import embedded_directory
from quorate.wire.embedded_directory import (
    Directory,
    Whereabouts,
    fresh_whereabouts,
)

HERE = Whereabouts(7001, "secret")


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    directory = Directory(tmp_path / 'a "fine" dir')
    directory.prepare()
    return directory


def test_only_one_holds_the_lock(directory: Directory) -> None:
    held = directory.try_lock()

    assert held is not None
    assert directory.try_lock() is None
    os.close(held)
    again = directory.try_lock()
    assert again is not None
    os.close(again)


def test_who_inherits_the_lock_keeps_it(directory: Directory) -> None:
    held = directory.try_lock()
    assert held is not None
    inherited = os.dup(held)

    os.close(held)

    assert directory.try_lock() is None
    os.close(inherited)


def test_an_address_is_read_as_it_was_written(directory: Directory) -> None:
    assert directory.read_address() is None

    directory.write_address(HERE)

    assert directory.read_address() == HERE
    assert HERE.url == "redis://:secret@127.0.0.1:7001/0"
    assert "secret" not in repr(HERE)
    directory.forget_address()
    assert directory.read_address() is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"port": 1}', '{"port": 0, "password": "x"}',
     '{"port": 70000, "password": "x"}', '{"port": 1, "password": "a b\\r\\nX"}',
     '{"port": "x", "password": "a"}'],
)  # fmt: skip
def test_an_address_that_makes_no_sense_is_none(
    directory: Directory, content: str
) -> None:
    directory.write_address(HERE)
    (directory.path / "address.json").write_text(content)

    assert directory.read_address() is None


def test_an_address_that_others_can_read_is_not_trusted(directory: Directory) -> None:
    directory.write_address(HERE)
    (directory.path / "address.json").chmod(0o644)

    assert directory.read_address() is None


def test_an_address_of_somebody_else_is_not_trusted(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.write_address(HERE)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert directory.read_address() is None


def test_an_address_behind_a_link_is_not_trusted(
    directory: Directory, tmp_path: Path
) -> None:
    directory.write_address(HERE)
    address = directory.path / "address.json"
    address.rename(tmp_path / "elsewhere.json")
    address.symlink_to(tmp_path / "elsewhere.json")

    assert directory.read_address() is None


def test_files_are_private_from_the_first_moment(directory: Directory) -> None:
    directory.write_config(HERE)
    directory.write_address(HERE)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.path.iterdir()}
    assert modes == {0o600, 0o700}
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_the_configuration_is_durable_and_evicts_nothing(directory: Directory) -> None:
    directory.write_config(HERE)

    lines = directory.config.read_text().splitlines()
    assert {
        "bind 127.0.0.1",
        "port 7001",
        "requirepass secret",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
    } <= set(lines)
    (place,) = [line for line in lines if line.startswith("dir ")]
    assert place.endswith(r'a \x22fine\x22 dir/data"')


@pytest.mark.parametrize("what", ["a file", "below a file"])
def test_a_directory_that_cannot_be_is_refused_by_name(
    tmp_path: Path, what: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    place = file if what == "a file" else file / "below"

    with pytest.raises(InvalidUrl, match="cannot be used as the server's directory"):
        Directory(place).prepare()


def test_a_lock_that_cannot_be_opened_is_refused_by_name(directory: Directory) -> None:
    (directory.path / "owner.lock").symlink_to("/nowhere")

    with pytest.raises(InvalidUrl, match="symbolic"):
        directory.try_lock()


def test_a_system_without_locks_is_told_so(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_directory, "fcntl", None)

    with pytest.raises(MissingCapability, match="no POSIX file locks"):
        directory.prepare()


def test_the_last_words_do_not_give_the_password_away(directory: Directory) -> None:
    assert "cannot be read" in directory.last_words(HERE)
    directory.log.write_text("")
    assert directory.last_words(HERE) == "it logged nothing"

    directory.log.write_text("line\n" * 50 + ">>> 'requirepass secret'\n")

    said = directory.last_words(HERE)
    assert "secret" not in said
    assert said.endswith("'requirepass ***'")
    assert len(said.splitlines()) == 8


def test_a_new_server_keeps_the_old_port_and_password_if_it_can() -> None:
    before = fresh_whereabouts(None)
    assert len(before.password) == 64

    assert fresh_whereabouts(before) == before
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", before.port))
        squatter.listen()
        after = fresh_whereabouts(before)

    assert after.port != before.port
    assert after.password == before.password


def test_every_server_has_a_password_of_its_own() -> None:
    assert fresh_whereabouts(None).password != fresh_whereabouts(None).password
