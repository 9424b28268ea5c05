"""Lock names that are filled from the arguments of a call."""

from __future__ import annotations

import enum
import inspect
import uuid
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput, InvalidName
from quorate.core.names import check_name
from quorate.core.template import NameTemplate, usable
from quorate.locks.decorating import check_function


@dataclass
class Order:
    id: int
    _secret: str = "x"


class Colour(enum.Enum):
    RED = "red"


async def charge(user_id, amount=5, *rest, order=None, **more):
    """A function with every kind of parameter."""


def filled(text: str, *args: object, of=charge, **kwargs: object) -> str:
    template = NameTemplate(text, inspect.signature(of), "charge")
    return template.fill(args, kwargs)


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "name"),
    [
        ("user:{user_id}", ("42",), {}, "user:42"),
        ("user:{user_id}", (), {"user_id": 42}, "user:42"),
        ("user:{0}:{1}", ("42",), {}, "user:42:5"),
        ("{user_id}/{amount}", ("a", 7), {}, "a/7"),
        ("{order.id}", ("a",), {"order": Order(9)}, "9"),
        ("{{{user_id}}}", ("a",), {}, "{a}"),
        ("all", ("a",), {}, "all"),
        ("{user_id}", (uuid.UUID(int=1),), {}, str(uuid.UUID(int=1))),
        ("{user_id}", (Colour.RED,), {}, "Colour.RED"),
        ("{user_id}", ("{x}%~",), {}, "{x}%~"),
    ],
)
def test_holes_are_filled_from_the_arguments(text, args, kwargs, name):
    assert filled(text, *args, **kwargs) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{user}", r"Did you mean \{user_id\}\? It has user_id"),
        ("{5}", "no parameter '5'"),
        ("{}", "no parameter ''"),
        ("{rest}", "many arguments"),
        ("{more}", "many arguments"),
        ("{user_id!r}", "has a format"),
        ("{user_id:>5}", "has a format"),
        ("{order._secret}", "not a plain attribute"),
        ("{order.__class__}", "not a plain attribute"),
        ("{order[0]}", r"no parameter 'order\[0\]'"),
        ("{user_id", "expected"),
        ("", "empty"),
        ("a\nb", "control characters"),
        (7, "must be text"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_when_it_is_made(text, why):
    with pytest.raises(InvalidName, match=why):
        NameTemplate(text, inspect.signature(charge), "charge")


def test_a_function_without_parameters_says_so():
    async def nothing() -> None: ...

    with pytest.raises(InvalidName, match="It has none"):
        NameTemplate("{x}", inspect.signature(nothing), "nothing")


def test_arguments_that_the_function_does_not_take_are_refused_by_its_own_rules():
    with pytest.raises(TypeError, match="user_id"):
        filled("{user_id}")


def test_a_value_without_a_text_of_its_own_is_refused():
    with pytest.raises(InvalidName, match="no text of its own"):
        filled("{user_id}", object())


def test_an_attribute_that_is_not_there_is_named():
    with pytest.raises(InvalidName, match=r"order\.id"):
        filled("{order.id}", "a", order="no order")


@pytest.mark.parametrize("value", ["a\nb", "\x00", "x" * 10_000, "é", "\ud800", " "])
def test_a_text_that_cannot_be_a_name_gets_a_digest(value):
    name = filled("user:{user_id}", value)

    assert check_name(name, "lock") == name
    assert name.startswith("user:")
    assert name != filled("user:{user_id}", value + "!")


@given(st.text(), st.text())
def test_different_texts_are_different_names(one, other):
    names = {usable(one), usable(other)}

    assert len(names) == len({one, other})
    for name in names:
        assert check_name(name, "lock") == name


def test_what_cannot_be_run_under_a_lock_as_a_whole_is_refused():
    def generator():
        yield 1

    async def stream():
        yield 1

    for function, why in ((generator, "generator"), (stream, "generator")):  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            check_function(function)
    check_function(charge)
