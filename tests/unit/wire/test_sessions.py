"""Session rows: what is sent, and how the answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from quorate.wire.scripts import Script
from quorate.wire.sessions import MOST_DEAD, RedisSessions


class TellsBack:
    """Stands for `Calls`: writes down what is run and answers what it was given."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.ran: list[tuple[str, list[str], list[object]]] = []
        self.closed = False

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[Any]
    ) -> object:
        self.ran.append((script.name, list(keys), list(args)))
        return self.answer

    async def close(self) -> None:
        self.closed = True


def sessions(answer: object) -> tuple[RedisSessions, TellsBack]:
    calls = TellsBack(answer)
    return RedisSessions(calls), calls  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "joined"), [([1, 9], True), ([0, 9], False)])
async def test_joining(answer: list[int], joined: bool) -> None:
    rows, calls = sessions(answer)

    assert await rows.join("{a}", "s.1", 1500) is joined
    assert calls.ran == [("wire/join", ["{a}:S"], ["s.1", 1500])]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([1, 12_345, 6_500, 0], (True, 12.345, 6.5, 0)),
        ([1, 12_345, 0, 3], (True, 12.345, 0.0, 3)),
        ([0, 1_000, -1, 1], (False, 1.0, None, 1)),
    ],
)
async def test_renewing(answer: list[int], told: tuple[Any, ...]) -> None:
    rows, calls = sessions(answer)

    assert await rows.renew("{a}", "s.1", 1500) == told
    assert calls.ran == [("wire/renew", ["{a}:S"], ["s.1", 1500])]


async def test_ending_the_dead_and_burying() -> None:
    rows, calls = sessions(1)
    assert await rows.end("{a}", "s.1") is True
    assert await rows.bury("{a}", "s.1", ["{a}:l:I", "{a}:r:I"]) is True
    calls.answer = [b"s.1", b"s.2"]
    assert await rows.dead("{a}") == ["s.1", "s.2"]
    await rows.close()

    assert calls.ran == [
        ("wire/end", ["{a}:S"], ["s.1"]),
        ("wire/bury", ["{a}:S", "{a}:l:I", "{a}:r:I"], ["s.1"]),
        ("wire/dead", ["{a}:S"], [MOST_DEAD]),
    ]
    assert calls.closed
