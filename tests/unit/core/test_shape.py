"""A shape is filled from a tree, or everything that is wrong with the tree is told."""

# ruff: noqa: RUF009 — `setting` and `section` make dataclass fields, not values
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.scalars import Untyped
from quorate.core.secret import Secret
from quorate.core.shape import (
    Fault,
    Rule,
    build,
    describe,
    meant,
    plain,
    section,
    setting,
    short,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A section."""

    size: int = setting(3, "Big enough.", unit="items", at_least=1, at_most=9)
    share: float = setting(0.5, "Half.", unit="share", above=0)
    class_: str = setting("x", "A word that Python keeps.", name="class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """The root."""

    inner: Inner = section(Inner)
    on: bool = setting(False, "A switch.")
    key: Secret = setting(Secret(), "A key.")
    names: tuple[str, ...] = setting((), "Some names.")
    mood: Literal["calm", "wild"] = setting("calm", "A mood.")


def test_an_empty_tree_gives_the_defaults():
    assert build(Outer, {}) == (Outer(), ())
    assert build(Outer, {"inner": None}) == (Outer(), ())


def test_a_full_tree_fills_the_shape():
    tree = {
        "inner": {"size": 4, "share": 1, "class": "y"},
        "on": True,
        "key": "k",
        "names": ["a", "b"],
        "mood": "Wild",
    }

    outer, faults = build(Outer, tree)

    assert faults == ()
    assert outer == Outer(
        inner=Inner(size=4, share=1.0, class_="y"),
        on=True,
        key=Secret("k"),
        names=("a", "b"),
        mood="wild",
    )
    assert type(outer.inner.share) is float


def test_untyped_text_becomes_what_the_setting_is():
    tree = {
        "inner": {"size": Untyped("4"), "share": Untyped("1e-1")},
        "on": Untyped("yes"),
        "names": Untyped("a, b,"),
        "mood": Untyped("WILD"),
    }

    outer, faults = build(Outer, tree)

    assert faults == ()
    assert (outer.inner.size, outer.inner.share, outer.on) == (4, 0.1, True)
    assert (outer.names, outer.mood) == (("a", "b"), "wild")


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        ({"inner": {"size": 0}}, "inner.size = 0 must be at least 1: Big enough."),
        ({"inner": {"size": 10}}, "inner.size = 10 must be at most 9: Big enough."),
        ({"inner": {"share": 0.0}}, "inner.share = 0.0 must be above 0: Half."),
        ({"inner": {"share": float("nan")}}, "inner.share = nan must be finite: Half."),
        (
            {"inner": {"size": "4"}},
            "inner.size = '4' must be a whole number, not text.",
        ),
        ({"inner": {"size": True}}, "must be a whole number, not true or false."),
        ({"inner": {"size": 4.0}}, "must be a whole number, not a number."),
        (
            {"inner": {"size": Untyped("4x")}},
            "inner.size = '4x' is not a whole number.",
        ),
        ({"inner": []}, "inner must be a section, not a list."),
        ({"inner": {"siez": 1}}, "is not a setting. Did you mean inner.size?"),
        ({"size": 1}, "size is not a setting. Did you mean inner.size?"),
        ({"zzz": 1}, "zzz is not a setting."),
        ({"on": None}, "on has no value; leave it out to get the default."),
        ({"key": ["top secret"]}, "key must be text, not a list."),
        ({"names": "a"}, "names = 'a' must be a list of texts, not text."),
        ({"mood": "wlid"}, "must be one of calm, wild. Did you mean wild?"),
        ({"mood": 5}, "mood = 5 must be one of calm, wild."),
        (
            {"inner": {"class": 5}},
            "must be text, not a whole number; put it in quotes.",
        ),
    ],
)
def test_what_is_wrong_is_told(tree, fault):
    _, (found,) = build(Outer, tree)

    assert fault in str(found)


def test_a_wrong_setting_stands_at_its_default():
    outer, faults = build(Outer, {"inner": {"size": 99}, "on": True})

    assert len(faults) == 1
    assert outer == Outer(on=True)


def test_a_fault_says_where_it_was_written():
    _, (fault,) = build(Outer, {"on": 1}, lambda path: f"file line {len(path)}")

    assert str(fault).endswith("(file line 2)")
    assert str(Fault("a", "is bad.")) == "a is bad."


def test_a_shape_describes_itself():
    paths = [described.path for described in describe(Outer)]

    assert paths == [
        "inner.size",
        "inner.share",
        "inner.class",
        "on",
        "key",
        "names",
        "mood",
    ]


def test_small_words():
    assert meant("xyz", ["abc"]) == ""
    assert short(30.0) == "30"
    assert short(0.5) == "0.5"
    assert plain(("a",)) == ["a"]
    assert plain(Secret("s")) == "s"
    assert plain(Enum("E", "A").A) == 1
    assert Rule("", at_most=1).broken_by(1) == ""


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["inner", "on", "key", "names", "mood", "x"]), json)
)
def test_any_tree_is_judged_without_falling_over(tree):
    outer, faults = build(Outer, tree)

    assert isinstance(outer, Outer)
    assert all(str(fault) for fault in faults)
