"""Requests that the user gives: every bad line is named, every good one goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.consultations.intake import read_requests

GOOD = {"id": "r-1", "user_id": "u-1", "urgency": "high", "complaint": "fever"}


def line(**changes: object) -> str:
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not None})


def test_the_file_that_comes_along_has_many_users_and_three_urgencies():
    path = Path("examples/consultations/requests.jsonl")

    requests, malformed = read_requests(path.read_text().splitlines())

    assert len(requests) >= 500
    assert malformed == []
    assert {r.urgency for r in requests} == {"high", "normal", "low"}
    assert len({r.user_id for r in requests}) > 50


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{nonsense", "not JSON"),
        ("[1, 2]", "an object, not a list"),
        ('"text"', "an object, not a str"),
        (line(user_id=None), "user_id is missing"),
        (line(user_id=""), "user_id must be a text"),
        (line(user_id=5), "user_id must be a text"),
        (line(urgency=None), "urgency is missing"),
        (line(urgency="URGENT"), "none of high, normal, low"),
        (line(age=-1), "age is a whole number"),
        (line(age=True), "age is a whole number"),
        (line(age="12"), "age is a whole number"),
        (line(colour="red"), "unknown field 'colour'"),
        (line(complaint="x" * 201), "longer than 200"),
        (line(complaint="a\nb"), "control characters"),
        (line(complaint="x" * 20_000), "longer than 16384 bytes"),
        ("[" * 100_000 + "]" * 100_000, "longer than 16384 bytes"),
        ("[" * 8_000 + "]" * 8_000, ""),
    ],
)
def test_a_malformed_line_is_named_with_its_number_and_reason(text: str, why: str):
    lines = [line(id="r-0"), text, line(id="r-2")]

    requests, malformed = read_requests(lines)

    assert [request.id for request in requests] == ["r-0", "r-2"]
    assert [bad.line for bad in malformed] == [2]
    assert why in malformed[0].why


def test_an_id_that_stands_twice_is_refused_and_the_first_kept():
    requests, malformed = read_requests([line(), "", line(user_id="u-2")])

    assert [request.user_id for request in requests] == ["u-1"]
    assert str(malformed[0]) == "line 3: the id 'r-1' stands on line 1 too"


def test_a_request_without_an_id_is_called_after_its_line():
    (request,), _ = read_requests(["", line(id=None)])

    assert request.id == "line-2"
    assert request.payload["id"] == "line-2"


def test_empty_lines_are_nothing():
    assert read_requests(["", "  ", "\n"]) == ([], [])
