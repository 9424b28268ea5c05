"""Scripts from files: fragments, shebangs, and what may be sent twice."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.wire.scripts import Script, load

Write = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """`package(a="text", b="text")` → a package with these scripts."""
    name = f"scripts_of_{tmp_path.name.replace('-', '_')}"
    monkeypatch.syspath_prepend(tmp_path)

    def write(**scripts: str) -> str:
        folder = tmp_path / name / "scripts"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for script, text in scripts.items():
            (folder / f"{script}.lua").write_text(text, encoding="utf-8")
        return name

    yield write
    sys.modules.pop(name, None)
    load.cache_clear()


def test_a_script_is_known_by_the_digest_of_its_text(package: Write) -> None:
    script = load(package(a="-- a: ü\nreturn 1\n"), "a")

    assert script.sha == hashlib.sha1(script.text.encode()).hexdigest()
    assert script.name.endswith("/a")
    assert script.bare == script.text
    assert script.bare_sha == script.sha


def test_fragments_are_pulled_in_and_into_each_other(package: Write) -> None:
    script = load(
        package(
            a="-- a\n-- include b\n-- include c\nreturn b() + c()\n",
            b="-- include c\nlocal function b() return c() end\n\n",
            c="local function c() return 1 end\n",
        ),
        "a",
    )

    assert script.text == (
        "-- a\n"
        "local function c() return 1 end\n"
        "local function b() return c() end\n"
        "local function c() return 1 end\n"
        "return b() + c()\n"
    )


@pytest.mark.parametrize(
    ("scripts", "circle"),
    [
        ({"a": "-- include a\n"}, "a → a"),
        ({"a": "-- include b\n", "b": "-- include a\n"}, "a → b → a"),
        (
            {"a": "-- include b\n", "b": "-- include c\n", "c": "-- include b\n"},
            "a → b → c → b",
        ),
    ],
)
def test_a_circle_is_named(
    package: Write, scripts: dict[str, str], circle: str
) -> None:
    with pytest.raises(ValueError, match=circle):
        load(package(**scripts), "a")


def test_the_shebang_is_kept_where_it_is_legal_and_nowhere_else(package: Write) -> None:
    script = load(
        package(
            a="#!lua flags=allow-oom\n-- a\n-- include b\nreturn b()\n",
            b="#!lua\nlocal function b() return '#!lua' end\n",
        ),
        "a",
    )

    bare = "-- a\nlocal function b() return '#!lua' end\nreturn b()\n"
    assert script.text == f"#!lua flags=allow-oom\n{bare}"
    assert script.bare == bare
    assert script.bare_sha == hashlib.sha1(bare.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "idempotent"),
    [
        ("-- a\n-- idempotent\nreturn 1\n", True),
        ("-- a\n-- idempotent by id\nreturn 1\n", True),
        ("-- a\nreturn 1\n", False),
        ("-- a\n-- not idempotent\nreturn 1\n", False),
        ("-- a\n-- idempotently\nreturn 1\n", False),
    ],
)
def test_a_script_says_itself_that_it_may_be_sent_twice(
    package: Write, text: str, idempotent: bool
) -> None:
    assert load(package(a=text), "a").idempotent is idempotent


def test_a_fragment_does_not_speak_for_the_script(package: Write) -> None:
    name = package(a="-- a\n-- include b\nreturn 1\n", b="-- b\n-- idempotent\n")

    assert load(name, "a").idempotent is False
    assert load(name, "b").idempotent is True


def test_what_several_rooms_need_is_kept_with_the_wire(package: Write) -> None:
    script = load(package(a="-- include server_time\nreturn now\n"), "a")

    assert script.text.startswith("-- server_time: ")
    assert script.text.endswith("\nreturn now\n")
    assert "redis.call('TIME')" in script.text


def test_a_rooms_own_fragment_comes_before_the_wires(package: Write) -> None:
    name = package(
        a="-- include server_time\nreturn now\n", server_time="local now = 1\n"
    )

    assert load(name, "a").text == "local now = 1\nreturn now\n"


def test_only_fragments_are_looked_for_with_the_wire(package: Write) -> None:
    with pytest.raises(FileNotFoundError, match=r"join\.lua"):
        load(package(a="return 1"), "join")


def test_a_script_is_read_once(package: Write) -> None:
    name = package(a="return 1")

    assert load(name, "a") is load(name, "a")


def test_a_script_that_is_not_there_is_named(package: Write) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.lua"):
        load(package(a="return 1"), "nowhere")


@pytest.mark.parametrize("name", ["join", "renew", "end", "dead", "bury"])
def test_the_sessions_scripts_say_what_they_do(name: str) -> None:
    script: Script = load("quorate.wire", name)

    head = script.bare.splitlines()
    assert head[0].startswith(f"-- {name}: ")
    assert script.idempotent
    for word in ("KEYS", "ARGV", "returns", "clock: server"):
        assert word in script.bare
    if name != "dead":
        assert script.text.startswith("#!lua flags=allow-oom\n")


def test_a_cluster_is_told_to_publish_in_the_slot(package: Write) -> None:
    script = load(
        package(
            a="#!lua\n-- a: PUBLISH\nredis.call('PUBLISH', KEYS[1], 'PUBLISH')\n"
            "-- include b\n",
            b="redis.pcall('PUBLISH', KEYS[1], 1)\n",
        ),
        "a",
    )

    assert script.sharded == (
        "#!lua\n-- a: PUBLISH\nredis.call('SPUBLISH', KEYS[1], 'PUBLISH')\n"
        "redis.pcall('SPUBLISH', KEYS[1], 1)\n"
    )
    assert script.spoken("sharded") == (script.sharded_sha, script.sharded)
    assert script.sharded_sha == hashlib.sha1(script.sharded.encode()).hexdigest()
    assert script.spoken("whole") == (script.sha, script.text)
    assert script.spoken("bare") == (script.bare_sha, script.bare)


def test_a_script_that_publishes_nothing_is_the_same_everywhere(package: Write) -> None:
    script = load(package(a="return 1\n"), "a")

    assert script.spoken("sharded") == script.spoken("whole")
