"""What differs, with the types of values counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.config.diff import KeyChange, diff, same
from quorate.config.tree import flatten, leaves, with_value, without

names = st.sampled_from(["a", "b", "c"])
trees = st.dictionaries(
    names,
    st.recursive(
        st.integers(0, 2) | st.booleans(),
        lambda inner: st.dictionaries(names, inner, min_size=1, max_size=2),
        max_leaves=3,
    ),
    max_size=3,
)


def test_added_changed_and_removed_keys_are_told_in_order():
    old = {"a": 1, "b": {"c": 2, "d": 3}}
    new = {"b": {"c": 5, "e": 4}, "z": None}

    assert diff(old, new) == (
        KeyChange("a", 1, None, "removed"),
        KeyChange("b.c", 2, 5, "changed"),
        KeyChange("b.d", 3, None, "removed"),
        KeyChange("b.e", None, 4, "added"),
        KeyChange("z", None, None, "added"),
    )


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (0, False, False),
        (None, False, False),
        ([1, [2]], [1, [2]], True),
        ([1], [True], False),
        ([1], [1, 1], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"b": 1}, False),
        ({}, [], False),
    ],
)
def test_values_are_equal_only_in_value_and_type(left, right, equal):
    assert same(left, right) is equal
    assert bool(diff({"k": left}, {"k": right})) is not equal


@given(trees, trees)
def test_the_changes_lead_from_one_tree_to_the_other(old, new):
    made = old
    for change in diff(old, new):
        if change.kind == "removed":
            made = without(made, change.key)
    for change in diff(old, new):
        if change.kind != "removed":
            made = with_value(made, change.key, change.new)

    assert flatten(made) == dict(leaves(new))
    assert diff(new, new) == ()
