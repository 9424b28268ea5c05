"""JSON, strict on both sides."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.core.codec import MAX_DEPTH, MAX_INT, decode, encode
from quorate.core.errors import InvalidPayload

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(first: Any, second: Any) -> bool:
    """Equal, and of the same kind all the way down: 1, 1.0 and True differ."""
    if type(first) is not type(second):
        return False
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return list(first) == list(second) and all(
            same(first[key], second[key]) for key in first
        )
    return bool(first == second) and repr(first) == repr(second)


@given(values)
@example(-0.0)
@example(5e-324)
@example([[], {}, "\u2028", "\x00"])
def test_what_comes_out_is_what_went_in(value: Any) -> None:
    data = encode(value, "value", 1_000_000)

    assert same(decode(data, "value"), value)
    assert same(decode(data.decode(), "value"), value)
    assert json.loads(data) == value


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ((1, 2), "a tuple at the top"),
        ({"a": [1, {2}]}, "a set at a[1]"),
        (b"bytes", "a bytes at the top"),
        ({"when": dt.date(2024, 1, 1)}, "a date at when"),
        ({"a": {1: "x"}}, "the key 1 at a"),
        ({None: "x"}, "the key None at the top"),
        ({True: "x"}, "the key True"),
        (float("nan"), "nan at the top"),
        ([float("inf")], "inf at [0]"),
        ({"x": float("-inf")}, "-inf at x"),
        (MAX_INT, "beyond 64 bits"),
        (-MAX_INT - 1, "beyond 64 bits"),
        (deep(MAX_DEPTH + 1), "nested deeper than 64"),
        ("\ud800", "cannot be written as JSON"),
        ({"\udfff": 1}, "cannot be written as JSON"),
        (type("Own", (str,), {})("x"), "a Own at the top"),
        (type("Own", (dict,), {})(), "a Own at the top"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(
    value: Any, part: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        encode(value, "result", 1000)

    assert part in str(refused.value)
    assert "result" in refused.value.what


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    with pytest.raises(InvalidPayload, match="nested deeper"):
        encode(circle, "value", 1000)


def test_the_deepest_that_is_allowed_travels() -> None:
    value = deep(MAX_DEPTH)

    assert decode(encode(value, "value", 1000), "value") == value


def test_size_is_counted_in_bytes_as_they_travel() -> None:
    assert encode("ü", "value", 4) == b'"\xc3\xbc"'
    with pytest.raises(InvalidPayload, match="too large") as refused:
        encode("ü", "value", 3)

    assert "4 bytes; 3 are allowed" in refused.value.why


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b"1 2", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        ("1".encode("utf-16"), "not valid JSON"),
        ("1".encode("utf-32-le"), "not valid JSON"),
        ("\ufeff1".encode(), "not valid JSON"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"1e999", "beyond the largest number"),
        (b"[-1e400]", "beyond the largest number"),
        (b'{"a":1,"b":2,"a":3}', "'a' stands twice"),
        (b'{"x":{"a":1,"a":1}}', "'a' stands twice"),
        (b"9" * 5000, "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_not_json_is_refused_whole(data: bytes, part: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        decode(data, "stored value")

    assert part in str(refused.value)


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidPayload, match="too large"):
        decode(b"[" * 101, "value", 100)


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        value = decode(data, "value")
    except InvalidPayload:
        return
    assert json.loads(data) == value
