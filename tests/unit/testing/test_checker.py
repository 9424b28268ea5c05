"""The checker sees what is wrong, passes what is right, and agrees with brute force."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.testing.histories import brute_force, op, random_history

from quorate.core.clock import Chance
from quorate.testing.checker import Model, judge, judge_each
from quorate.testing.history import Operation
from quorate.testing.models import CasRegister, FencedRegister, Mutex
from quorate.testing.shared_models import ReadersWriter, Semaphore

MODELS: list[Model[Any]] = [
    Mutex(),
    FencedRegister(),
    CasRegister(),
    Semaphore(3),
    ReadersWriter(),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_it_agrees_with_brute_force_on_random_histories(model: Model[Any]) -> None:
    chance = Chance(7)
    seen = {"valid": 0, "invalid": 0}

    for _ in range(1000):
        history = random_history(model, chance, chance.randrange(2, 7))
        verdict = judge(history, model)
        seen[verdict.ruling] += 1
        assert verdict.is_valid == brute_force(history, model), history

    assert min(seen.values()) > 100, seen


LEGAL = {
    "one after the other": [
        op("acquire", 1, 2, 1, owner="a"),
        op("release", 3, 4, True, owner="a"),
        op("acquire", 5, 6, 2, owner="b"),
    ],
    "a reply that comes late": [
        op("acquire", 1, 2, 1, owner="a"),
        op("release", 3, 9, True, owner="a"),
        op("acquire", 4, 5, 2, owner="b"),
    ],
    "an unknown release that has happened": [
        op("acquire", 1, 2, 1, owner="a"),
        op("release", 3, None, owner="a"),
        op("acquire", 50, 60, 2, owner="b"),
    ],
    "an unknown acquire that has not happened": [
        op("acquire", 1, None, owner="a"),
        op("acquire", 5, 6, 1, owner="b"),
    ],
    "an unknown acquire that has": [
        op("acquire", 1, None, owner="a"),
        op("release", 5, 6, True, owner="a"),
    ],
    "a hold that has ended by itself": [
        op("acquire", 1, 2, 1, owner="a"),
        op("expire", 10, None, owner="a"),
        op("acquire", 11, 12, 2, owner="b"),
        op("release", 13, 14, False, owner="a"),
    ],
}


@pytest.mark.parametrize("name", LEGAL)
def test_a_right_history_of_a_lock_passes(name: str) -> None:
    verdict = judge(LEGAL[name], Mutex())

    assert verdict.is_valid, verdict
    assert verdict.judged == len(LEGAL[name])


ILLEGAL = {
    "a double grant": [
        op("acquire", 1, 2, 1, owner="a"),
        op("acquire", 3, 4, 2, owner="b"),
    ],
    "a token that is given twice": [
        op("acquire", 1, 2, 5, owner="a"),
        op("release", 3, 4, True, owner="a"),
        op("acquire", 5, 6, 5, owner="b"),
    ],
    "a token that goes back": [
        op("acquire", 1, 2, 5, owner="a"),
        op("release", 3, 4, True, owner="a"),
        op("acquire", 5, 6, 4, owner="b"),
    ],
    "a release by somebody else": [
        op("acquire", 1, 2, 1, owner="a"),
        op("release", 3, 4, True, owner="b"),
    ],
    "a grant before the hold could end": [
        op("acquire", 1, 2, 1, owner="a"),
        op("acquire", 5, 6, 2, owner="b"),
        op("expire", 10, None, owner="a"),
    ],
    "a release that was refused to the owner": [
        op("acquire", 1, 2, 1, owner="a"),
        op("release", 3, 4, False, owner="a"),
    ],
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_wrong_history_of_a_lock_is_seen(name: str) -> None:
    verdict = judge(ILLEGAL[name], Mutex())

    assert verdict.ruling == "invalid"
    assert verdict.at is not None
    assert verdict.at.f in verdict.why


SHARED = {
    "one permit too many": (
        Semaphore(3),
        op("acquire", 1, 2, 1, owner="a", weight=2),
        op("acquire", 3, 4, 2, owner="b", weight=2),
    ),
    "a writer beside a reader": (
        ReadersWriter(),
        op("acquire", 1, 2, 5, owner="a", shared=True),
        op("acquire", 3, 4, 6, owner="b", shared=False),
    ),
    "a reader beside a writer": (
        ReadersWriter(),
        op("acquire", 1, 2, 5, owner="a", shared=False),
        op("acquire", 3, 4, 6, owner="b", shared=True),
    ),
    "a writer with the token of a reader": (
        ReadersWriter(),
        op("acquire", 1, 2, 5, owner="a", shared=True),
        op("release", 3, 4, True, owner="a"),
        op("acquire", 5, 6, 5, owner="b", shared=False),
    ),
    "a return of what was never had": (
        Semaphore(3),
        op("release", 3, 4, True, owner="a"),
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_wrong_history_of_what_is_shared_is_seen(name: str) -> None:
    model, *history = SHARED[name]

    assert judge(history, model).ruling == "invalid"


def test_what_is_shared_rightly_passes() -> None:
    readers = [
        op("acquire", 1, 2, 5, owner="a", shared=True),
        op("acquire", 3, 4, 5, owner="b", shared=True),
        op("release", 5, 6, True, owner="a"),
        op("expire", 5, None, owner="b"),
        op("acquire", 7, 8, 6, owner="c", shared=False),
        op("release", 9, 10, False, owner="b"),
    ]
    permits = [
        op("acquire", 1, 2, 1, owner="a", weight=2),
        op("acquire", 3, 4, 1, owner="b", weight=1),
        op("release", 5, 9, True, owner="a"),
        op("acquire", 6, 8, 1, owner="c", weight=2),
    ]

    assert judge(readers, ReadersWriter()).is_valid
    assert judge(permits, Semaphore(3)).is_valid


WRONG_WRITES = {
    "a stale write that was accepted": [
        op("write", 1, 2, True, owner="b", token=2, value="new"),
        op("write", 3, 4, True, owner="a", token=1, value="old"),
    ],
    "a stale value that was read": [
        op("write", 1, 2, True, owner="a", token=1, value="old"),
        op("write", 3, 4, True, owner="b", token=2, value="new"),
        op("read", 5, 6, "old"),
    ],
    "one token for two owners": [
        op("write", 1, 2, True, owner="a", token=2, value="x"),
        op("write", 3, 4, True, owner="b", token=2, value="y"),
    ],
    "a good write that was refused": [
        op("write", 1, 2, False, owner="a", token=1, value="x"),
    ],
}


@pytest.mark.parametrize("name", WRONG_WRITES)
def test_a_wrong_history_of_a_fenced_resource_is_seen(name: str) -> None:
    assert judge(WRONG_WRITES[name], FencedRegister()).ruling == "invalid"


def test_an_owner_writes_again_with_its_token_and_a_stale_one_is_refused() -> None:
    history = [
        op("write", 1, 2, True, owner="b", token=2, value="x"),
        op("write", 3, 4, True, owner="b", token=2, value="y"),
        op("write", 5, 6, False, owner="a", token=1, value="z"),
        op("write", 5, None, owner="c", token=1, value="z"),
        op("read", 7, 8, "y"),
    ]

    assert judge(history, FencedRegister()).is_valid


WRONG_VALUES = {
    "a lost update": [
        op("read", 1, 2, [None, 0]),
        op("cas", 3, 4, 1, value="x", version=0),
        op("cas", 3, 4, 2, value="y", version=0),
    ],
    "a version that is given twice": [
        op("write", 1, 2, 3, value="x"),
        op("write", 3, 4, 3, value="y"),
    ],
    "a read from the past": [
        op("write", 1, 2, 1, value="x"),
        op("write", 3, 4, 2, value="y"),
        op("read", 5, 6, ["x", 1]),
    ],
    "a refusal without a reason": [
        op("write", 1, 2, 1, value="x"),
        op("cas", 3, 4, None, value="y", version=1),
    ],
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_wrong_history_of_a_versioned_value_is_seen(name: str) -> None:
    assert judge(WRONG_VALUES[name], CasRegister()).ruling == "invalid"


def test_a_read_settles_what_an_unknown_write_has_done() -> None:
    history = [
        op("write", 1, None, value="x"),
        op("read", 3, 4, ["x", 5]),
        op("cas", 5, 6, 9, value="y", version=5),
        op("cas", 7, 8, None, value="z", version=5),
    ]

    assert judge(history, CasRegister()).is_valid
    history.append(op("read", 9, 10, ["x", 5]))
    assert not judge(history, CasRegister()).is_valid


def test_an_operation_that_the_model_does_not_know_is_an_error() -> None:
    for model in MODELS:
        with pytest.raises(ValueError, match="does not know 'dance'"):
            judge([op("dance", 1, 2, owner="a")], model)


def test_too_many_possibilities_are_unknown_and_not_valid() -> None:
    history = [op("write", 1, None, value=value) for value in range(9)]
    history.append(op("read", 2, 3, [99, 1]))

    verdict = judge(history, CasRegister(), most=100)

    assert verdict.ruling == "unknown"
    assert "more than 100" in verdict.why


def test_parts_are_judged_apart_and_one_that_is_wrong_spoils_the_whole() -> None:
    good, bad = LEGAL["one after the other"], ILLEGAL["a double grant"]

    assert judge_each({"x": good, "y": good}, Mutex()).is_valid
    verdict = judge_each({"x": good, "y": bad}, Mutex())

    assert verdict.ruling == "invalid"
    assert verdict.judged == len(good) + len(bad)
    assert str(verdict).startswith("invalid over 5 operations: 1 of 2 invalid")


def test_a_long_history_of_many_locks_is_judged_quickly() -> None:
    parts = {f"lock-{number}": long_history(number) for number in range(20)}
    began = time.process_time()

    verdict = judge_each(parts, Mutex())

    assert verdict.is_valid
    assert verdict.judged == 10_000
    assert time.process_time() - began < 2.0


def long_history(seed: int) -> list[Operation]:
    """500 operations of eight owners who wait for one lock, ever overlapping."""
    chance = Chance(seed)
    history: list[Operation] = []
    for turn in range(250):
        owner = f"o{chance.randrange(8)}-{turn}"
        granted = turn * 100
        history.append(
            op(
                "acquire",
                granted - chance.randrange(500),
                granted + 9,
                turn + 1,
                owner=owner,
            )
        )
        history.append(
            op(
                "release",
                granted + 50,
                granted + 51 + chance.randrange(40),
                owner=owner,
            )
        )
    return history
