"""The YAML 1.2 core rules: what text is, by its looks and by its target."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.scalars import Untyped, coerce, resolve

LOOKS = [
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nUll", "nUll"),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("tRue", "tRue"),
    ("false", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("0", 0),
    ("12", 12),
    ("-12", -12),
    ("+12", 12),
    ("012", 12),
    ("0o17", 15),
    ("0x1F", 31),
    ("-0x1F", "-0x1F"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("1.5", 1.5),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1.", 1.0),
    ("1e3", 1000.0),
    ("-1E-3", -0.001),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("1.2.3", "1.2.3"),
    ("2024-01-01", "2024-01-01"),
    ("+", "+"),
    ("-", "-"),
    (".", "."),
    ("9" * 50, "9" * 50),
    ("a b", "a b"),
]


@pytest.mark.parametrize(("text", "meaning"), LOOKS)
def test_plain_text_is_what_yaml_1_2_says(text, meaning):
    found = resolve(text)

    assert found == meaning
    assert type(found) is type(meaning)


def test_not_a_number_is_a_number_in_yaml():
    assert math.isnan(resolve(".nan"))


TARGETS = [
    ("0123456", str, "0123456"),
    ("true", str, "true"),
    (" 5 ", str, " 5 "),
    ("12", int, 12),
    (" -3 ", int, -3),
    ("012", int, 12),
    ("0x10", int, 16),
    ("1e3", float, 1000.0),
    ("12", float, 12.0),
    ("true", bool, True),
    ("YES", bool, True),
    ("on", bool, True),
    ("1", bool, True),
    ("False", bool, False),
    ("no", bool, False),
    ("off", bool, False),
    ("0", bool, False),
]


@pytest.mark.parametrize(("text", "kind", "value"), TARGETS)
def test_text_with_a_known_target_is_read_by_it(text, kind, value):
    found = coerce(text, kind)

    assert found == value
    assert type(found) is kind


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("1e3", int, "is not a whole number"),
        ("1.0", int, "is not a whole number"),
        ("", int, "is not a whole number"),
        ("ten", float, "is not a number"),
        ("2", bool, "is neither true nor false"),
        ("", bool, "is neither true nor false"),
    ],
)
def test_text_that_does_not_fit_its_target_is_refused(text, kind, problem):
    with pytest.raises(ValueError, match=problem):
        coerce(text, kind)


def test_untyped_text_as_text_is_plain_text():
    assert type(coerce(Untyped("x"), str)) is str


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_64_bit_number_comes_back(number):
    assert resolve(str(number)) == number
    assert coerce(str(number), int) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back(number):
    assert coerce(repr(number), float) == number


@given(st.text())
def test_no_text_makes_the_reader_fall_over(text):
    resolve(text)
