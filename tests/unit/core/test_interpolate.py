"""`${…}`: what is filled, what stays, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import ConfigInvalid
from quorate.core.interpolate import MAX_CHARS, interpolate, interpolate_tree
from quorate.core.scalars import Untyped

SET = {
    "A": "a",
    "HOST": "db.example",
    "EMPTY": "",
    "PASSWORD": "0123456",
    "DOLLARS": "p$$w$x$",
    "BROKEN": "a${b",
    "SHELL": "${A:-x}",
    "VIA": "<${A}>",
    "VIA_VIA": "[${VIA}]",
    "TO_NOTHING": "${NOWHERE}",
    "SPACES": "  x  ",
}

FILLED = [
    ("", ""),
    ("plain", "plain"),
    ("${A}", "a"),
    ("x${A}y", "xay"),
    ("${A}${A}", "aa"),
    ("${HOST}:${A}", "db.example:a"),
    ("${EMPTY}", ""),
    ("${EMPTY:-d}", "d"),
    ("${MISSING:-d}", "d"),
    ("${A:-d}", "a"),
    ("${MISSING:-}", ""),
    ("${MISSING:-redis://localhost:6379}", "redis://localhost:6379"),
    ("${MISSING:-${A}}", "a"),
    ("${MISSING:-${ALSO:-${HOST}}}", "db.example"),
    ("${MISSING:-x${A}y}z", "xayz"),
    ("${A:-${NEVER_LOOKED_AT}}", "a"),
    ("${A:?needed}", "a"),
    ("${MISSING:-a:-b}", "a:-b"),
    ("${MISSING:-?}", "?"),
    ("$$", "$"),
    ("$$$$", "$$"),
    ("$${A}", "${A}"),
    ("$$${A}", "$a"),
    ("${MISSING:-$$5}", "$5"),
    ("${MISSING:-$${A}}", "${A}"),
    ("cost: 5$", "cost: 5$"),
    ("$A", "$A"),
    ("$ {A}", "$ {A}"),
    ("a$b", "a$b"),
    ("${DOLLARS}", "p$$w$x$"),
    ("${BROKEN}", "a${b"),
    ("${SHELL}", "${A:-x}"),
    ("${VIA}", "<a>"),
    ("${VIA_VIA}", "[<a>]"),
    ("${SPACES}", "  x  "),
    ("${PASSWORD}", "0123456"),
    ("{A}", "{A}"),
    ("}", "}"),
    ("${MISSING:- d }", " d "),
    ("ü${A}ß", "üaß"),
]

REFUSED = [
    ("${MISSING}", "MISSING is not set"),
    ("x ${MISSING} y", "MISSING is not set"),
    ("${MISSING:-${ALSO}}", "ALSO is not set"),
    ("${TO_NOTHING}", "needed by TO_NOTHING"),
    ("${MISSING:?give me one}", "MISSING is not set: give me one"),
    ("${EMPTY:?give me one}", "EMPTY is not set: give me one"),
    ("${MISSING:?}", "it is needed"),
    ("${MISSING:?as ${A}}", "as a"),
    ("${A", "character 1 is never closed"),
    ("ab${A", "character 3 is never closed"),
    ("${A:-${B}", "never closed"),
    ("${}", "cannot be read"),
    ("${ A}", "cannot be read"),
    ("${A }", "cannot be read"),
    ("${1A}", "cannot be read"),
    ("${A-b}", "cannot be read"),
    ("${A:+b}", "cannot be read"),
    ("${A:b}", "cannot be read"),
    ("${A.b}", "cannot be read"),
    ("${ä}", "cannot be read"),
    ("${MISSING:-" * 12 + "x" + "}" * 12, "nested deeper than 10"),
]


@pytest.mark.parametrize(("text", "outcome"), FILLED)
def test_text_is_filled(text, outcome):
    assert interpolate(text, SET) == outcome


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_text_that_cannot_be_filled_is_refused(text, told):
    with pytest.raises(ConfigInvalid) as refused:
        interpolate(text, SET)

    assert told in str(refused.value)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_circle_of_variables_is_named(length):
    names = [f"V{i}" for i in range(length)]
    circle = {name: f"x${{{names[(i + 1) % length]}}}" for i, name in enumerate(names)}

    with pytest.raises(ConfigInvalid) as refused:
        interpolate("${V0}", circle)

    assert " → ".join((*names, "V0")) in str(refused.value)


def test_a_circle_in_the_middle_is_named_without_the_way_to_it():
    with pytest.raises(ConfigInvalid, match="B → C → B"):
        interpolate("${A}", {"A": "${B}", "B": "${C}", "C": "${B}"})


def test_a_long_chain_of_variables_is_refused_with_the_way():
    chain = {f"V{i}": f"${{V{i + 1}}}" for i in range(20)}

    with pytest.raises(ConfigInvalid, match="V0 → V1 → V2"):
        interpolate("${V0}", chain)


def test_text_that_grows_too_large_is_refused():
    bomb = {f"V{i}": f"${{V{i + 1}}}" * 10 for i in range(8)} | {"V8": "x"}

    with pytest.raises(ConfigInvalid, match=r"beyond 64 kB|more than 10000 times"):
        interpolate("${V0}", bomb)


def test_text_of_just_the_largest_size_is_filled():
    assert interpolate("${X}", {"X": "x" * MAX_CHARS}) == "x" * MAX_CHARS

    with pytest.raises(ConfigInvalid, match="beyond 64 kB"):
        interpolate("${X}y", {"X": "x" * MAX_CHARS})


def test_many_empty_references_are_refused():
    bomb = {f"V{i}": f"${{V{i + 1}}}" * 100 for i in range(5)} | {"V5": ""}

    with pytest.raises(ConfigInvalid, match="more than 10000 times"):
        interpolate("${V0}", bomb)


def test_the_value_of_a_variable_never_shows_in_an_error():
    with pytest.raises(ConfigInvalid) as refused:
        interpolate("${URL}", {"URL": "redis://:hunter2@${HOST}"})

    assert "hunter2" not in str(refused.value)


def test_a_tree_is_filled_at_every_depth_and_says_which_text_was():
    tree = {"a": ["${A}", 1, "$$"], "b": {"c": "x"}, "${A}": None}

    filled, unfilled = interpolate_tree(tree, SET)

    assert filled == {"a": ["a", 1, "$"], "b": {"c": "x"}, "${A}": None}
    assert isinstance(filled["a"][0], Untyped)
    assert not isinstance(filled["a"][2], Untyped)
    assert unfilled == ()


def test_all_places_that_cannot_be_filled_are_listed():
    _, unfilled = interpolate_tree({"a": ["x", "${M1}"], "b": {"c": "${M2}"}}, {})

    assert [place.path for place in unfilled] == ["a[1]", "b.c"]
    assert "M1 is not set" in unfilled[0].problem


@given(st.text(), st.dictionaries(st.sampled_from("ABC"), st.text(max_size=20)))
def test_any_text_is_filled_or_refused(text, variables):
    with contextlib.suppress(ConfigInvalid):
        interpolate(text, variables)


@given(st.text())
def test_an_escaped_text_comes_back(text):
    assert interpolate(text.replace("$", "$$"), {}) == text
