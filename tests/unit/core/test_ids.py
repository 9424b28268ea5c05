"""Ids: never used twice, and telling what they are made to tell."""

from __future__ import annotations

import os
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.ids import born_at, derived_id, new_session_id, new_task_id, short


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


def test_the_same_words_give_the_same_id() -> None:
    assert derived_id("cron", "nightly@3") == derived_id("cron", "nightly@3")
    assert derived_id("cron", "a") != derived_id("jobs", "a")
    assert re.fullmatch(r"[0-9a-f]{32}", derived_id("a", "b"))


def test_short_is_short() -> None:
    assert short(ones) == "ffffffff"
    assert len(short()) == 8
