"""Errors: one tree, three parts each, and everyday kinds that `except` knows."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from quorate.core import errors
from quorate.core.errors import (
    ConfigInvalid,
    InvalidInput,
    InvalidSettings,
    KeyMissing,
    LockNotGranted,
    NobodyHome,
    QuorateError,
    ResultPending,
    StoreRefused,
    TaskTimeout,
    UnknownTask,
)

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, QuorateError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_says_what_why_and_what_to_do(kind: type[QuorateError]) -> None:
    error = kind("It broke.", "It was old.", "Buy a new one.")

    assert (error.what, error.why, error.fix) == (
        "It broke.",
        "It was old.",
        "Buy a new one.",
    )
    assert str(error) == "It broke.\n  It was old.\n  Buy a new one."


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_leaves_no_gap(kind: type[QuorateError]) -> None:
    assert str(kind("It broke.")) == "It broke."
    assert str(kind("It broke.", fix="Mend it.")) == "It broke.\n  Mend it."


@pytest.mark.parametrize("kind", KINDS)
def test_each_travels_between_processes(kind: type[QuorateError]) -> None:
    error = kind("It broke.", "It was old.", "Buy a new one.")

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)


def test_each_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in KINDS]

    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isalpha() for reason in reasons)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {
        line.lstrip("│├└─ ").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "─ " in line or line.strip() == "QuorateError"
    }

    assert drawn == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "everyday"),
    [
        (InvalidInput, ValueError),
        (ConfigInvalid, ValueError),
        (LockNotGranted, TimeoutError),
        (TaskTimeout, TimeoutError),
        (ResultPending, TimeoutError),
        (NobodyHome, LookupError),
        (UnknownTask, LookupError),
        (KeyMissing, KeyError),
    ],
)
def test_everyday_kinds_catch_them(
    kind: type[QuorateError], everyday: type[Exception]
) -> None:
    with pytest.raises(everyday):
        raise kind("It broke.", "It was old.")


def test_settings_name_every_fault() -> None:
    error = InvalidSettings("2 faults.", "a is 0\n  b is -1")

    assert error.faults == ("a is 0", "b is -1")
    assert InvalidSettings("none").faults == ()


@pytest.mark.parametrize(
    ("why", "code"),
    [("OOM command not allowed", "OOM"), ("NOAUTH", "NOAUTH"), ("", "")],
)
def test_a_refusal_has_the_servers_code(why: str, code: str) -> None:
    assert StoreRefused("no", why).code == code
