"""Ids: never used twice, and telling what they are made to tell."""

from __future__ import annotations

import os
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.ids import (
    TaskIds,
    born_at,
    derived_id,
    new_session_id,
    new_task_id,
    short,
)


def ones(count: int) -> bytes:
    return b"\xff" * count


def test_a_session_is_host_pid_and_incarnation() -> None:
    assert new_session_id("web-1", 42, ones) == "web-1-42-ffffffffffff"
    assert f"-{os.getpid()}-" in new_session_id()


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("my host.local", "my-host-local"),
        ("{evil}:S\n", "evil-S"),
        ("ü", "host"),
        ("---", "host"),
        ("h" * 100, "h" * 40),
    ],
)
def test_a_host_becomes_plain(host: str, plain: str) -> None:
    assert new_session_id(host, 1, ones) == f"{plain}-1-ffffffffffff"


def test_a_process_that_starts_again_is_another() -> None:
    assert len({new_session_id("a", 1) for _ in range(1000)}) == 1000


@given(st.floats(min_value=0, max_value=2**41 / 1000))
def test_a_task_knows_when_it_was_born(now_s: float) -> None:
    ident = new_task_id(now_s)

    assert re.fullmatch(r"[0-9a-f]{32}", ident)
    assert born_at(ident) == pytest.approx(now_s, abs=0.001)
    read = uuid.UUID(ident)
    assert (read.version, read.variant) == (7, uuid.RFC_4122)


@given(st.lists(st.integers(0, 10**12), min_size=2, unique=True))
def test_tasks_sort_by_birth(millis: list[int]) -> None:
    idents = [new_task_id(ms / 1000 + 0.0001) for ms in sorted(millis)]

    assert idents == sorted(idents)


def test_chance_fills_a_task_id_and_nothing_else() -> None:
    assert new_task_id(0.0, ones) == "0000000000007fff" + "bfffffffffffffff"[0:16]


def test_tasks_of_one_moment_differ() -> None:
    assert len({new_task_id(1.0) for _ in range(1000)}) == 1000


def test_many_ids_of_one_moment_differ_and_sort_as_they_were_made() -> None:
    ids = TaskIds()

    made = [ids.next(second) for second in (1.0, 2.0) for _ in range(500)]

    assert len(set(made)) == 1000
    assert made == sorted(made)
    assert [born_at(ident) for ident in made] == [1.0] * 500 + [2.0] * 500
    read = uuid.UUID(made[-1])
    assert (read.version, read.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_many_ids_at_once_are_as_good_as_one_by_one(count: int) -> None:
    ids = TaskIds()

    made = [ids.next(1.0), *ids.many(1.0, count), ids.next(1.0), *ids.many(2.0, count)]

    assert len(set(made)) == len(made) == 2 * count + 2
    assert made == sorted(made)
    assert [born_at(ident) for ident in made] == [1.0] * (count + 2) + [2.0] * count


def test_many_ids_at_once_may_run_out_of_numbers() -> None:
    drawn = [b"\xff" * 9 + b"\xfe", b"\x00" * 10]
    ids = TaskIds(lambda _: drawn.pop(0))

    made = ids.many(0.0, 4)

    assert [ident[16:] for ident in made] == [
        "bffffffffffffffe",
        "bfffffffffffffff",
        "8" + "0" * 15,
        "8" + "0" * 14 + "1",
    ]


def test_ids_that_run_out_of_numbers_begin_anew() -> None:
    drawn = [b"\xff" * 10, b"\x00" * 10]
    ids = TaskIds(lambda _: drawn.pop(0))

    assert [ids.next(0.0)[16:], ids.next(0.0)[16:]] == [
        "bfffffffffffffff",
        "8" + "0" * 15,
    ]


def test_a_forked_process_makes_ids_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = TaskIds()
    ours = ids.next(1.0)

    monkeypatch.setattr("os.getpid", lambda: -1)

    assert ids.next(1.0)[:30] != ours[:30]


def test_the_same_words_give_the_same_id() -> None:
    assert derived_id("cron", "nightly@3") == derived_id("cron", "nightly@3")
    assert derived_id("cron", "a") != derived_id("jobs", "a")
    assert re.fullmatch(r"[0-9a-f]{32}", derived_id("a", "b"))


def test_short_is_short() -> None:
    assert short(ones) == "ffffffff"
    assert len(short()) == 8
