"""What is written is checked first, and refused before anything happens."""

from __future__ import annotations

import pytest

from quorate.config.model import Contents, Write
from quorate.config.writing import Terms, draft, foreseen
from quorate.core.errors import InvalidInput, InvalidName, InvalidPayload

PLAIN = Terms()


def deep(levels: int) -> dict:
    value: dict = {"x": 1}
    for _ in range(levels):
        value = {"x": value}
    return value


def test_a_draft_carries_its_terms():
    made = draft("id", [Write("a", 1, expect=3)], Terms(7, None, "ann", "why"), None)

    assert (made.id, made.expect, made.author, made.comment) == ("id", 7, "ann", "why")
    assert made.writes == (Write("a", 1, expect=3),)


def test_dotted_names_in_a_value_are_opened():
    made = draft("id", [Write("a", {"b.c": 1, "d": {}})], PLAIN, None)

    assert made.writes[0].value == {"b": {"c": 1}, "d": {}}


def test_a_draft_does_not_change_with_what_it_was_made_of():
    value = {"a": [1]}
    made = draft("id", [Write("k", value)], PLAIN, None)

    value["a"].append(2)

    assert made.writes[0].value == {"a": [1]}


@pytest.mark.parametrize(
    ("writes", "error", "told"),
    [
        ([Write("a..b", 1)], InvalidName, "cannot be used"),
        ([Write("a*", 1)], InvalidName, "cannot be used"),
        ([Write("", delete=True)], InvalidName, "empty"),
        ([Write("a", (1, 2))], InvalidPayload, "tuple"),
        ([Write("a", {"b": float("inf")})], InvalidPayload, "inf"),
        ([Write("a", {1: 2})], InvalidPayload, "key 1"),
        ([Write("a", "x" * (1024 * 1024))], InvalidPayload, "too large"),
        ([Write("a", {"b": 1, "b.c": 2})], InvalidInput, "where it begins"),
        ([Write("a", {"": 1})], InvalidInput, "empty"),
        ([Write("a", {"b*": 1})], InvalidInput, "cannot be used"),
        ([Write("a", deep(31))], InvalidInput, "cannot be used"),
        ([Write("a", deep(40))], InvalidInput, "32 levels"),
        ([Write("a", 1), Write("a", 2)], InvalidInput, "twice"),
        ([Write("a", 1), Write("a-b", 1), Write("a.b", 2)], InvalidInput, "within"),
        ([Write("a", 1, expect=-1)], InvalidInput, "expected revision"),
        ([Write("a", 1, expect=True)], InvalidInput, "expected revision"),
        ([Write("a", delete=True, expect="1")], InvalidInput, "expected revision"),
    ],
)
def test_what_cannot_be_written_is_refused(writes, error, told):
    with pytest.raises(error, match=told):
        draft("id", writes, PLAIN, None)


@pytest.mark.parametrize(
    "terms",
    [
        Terms(author="x" * 256),
        Terms(comment="x" * 1001),
        Terms(author=5),  # type: ignore[arg-type]
        Terms(expect=-1),
        Terms(expect="now"),  # type: ignore[arg-type]
    ],
)
def test_terms_that_cannot_be_are_refused(terms):
    with pytest.raises(InvalidInput):
        draft("id", [Write("a", 1)], terms, None)


def test_what_a_draft_would_make_is_foreseen():
    made = draft("id", [Write("a", {"b": 1})], PLAIN, None)

    assert foreseen(Contents(), made).tree() == {"a": {"b": 1}}
