"""Trees are changed by making others, and dotted keys lead into them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.config import tree as trees
from quorate.core.errors import ConfigInvalid, InvalidName

TREE = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": {}}

names = st.sampled_from(["a", "b", "c", "d"])
values = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
nested = st.dictionaries(
    names,
    st.recursive(values, lambda inner: st.dictionaries(names, inner, max_size=3)),
    max_size=4,
)
keys = st.lists(names, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    "key", ["a", "a.b", "service:orders.url", "a b.c", "ä.ö", "A-1"]
)
def test_a_good_key_is_returned(key):
    assert trees.check_key(key) == key


@pytest.mark.parametrize(
    "key",
    ["", ".", "a.", ".a", "a..b", "a. b", "a.*", "a?", "a[0]", "a/b", "a\\b", " a",
     "a\n", None, 5, "x" * 256, ".".join("a" * 33)],
)  # fmt: skip
def test_a_bad_key_is_refused(key):
    with pytest.raises(InvalidName):
        trees.check_key(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.b", 1),
        ("a.c.d", [1, 2]),
        ("a.c", {"d": [1, 2]}),
        ("e", None),
        ("f", {}),
        ("x", "gone"),
        ("a.x", "gone"),
        ("a.b.c", "gone"),
        ("a.c.d.0", "gone"),
    ],
)
def test_a_key_leads_to_a_value_or_a_section(key, value):
    assert trees.lookup(TREE, key, "gone") == value


def test_sections_merge_and_everything_else_is_replaced():
    upper = {"a": {"b": {"x": 1}, "c": {"d": [3]}}, "e": 5, "f": 1}

    assert trees.merge(TREE, upper) == {
        "a": {"b": {"x": 1}, "c": {"d": [3]}},
        "e": 5,
        "f": 1,
    }


def test_an_empty_section_replaces_what_is_below():
    assert trees.merge({"a": {"b": 1}}, {"a": {}}) == {"a": {}}


def test_removing_the_last_value_removes_its_sections():
    assert trees.without({"a": {"b": {"c": 1}}, "d": 2}, "a.b.c") == {"d": 2}
    assert trees.without({"a": {"b": 1}}, "a") == {}
    assert trees.without({"a": {}}, "a.x") == {"a": {}}
    assert trees.without({"a": 1}, "a.x") == {"a": 1}


@given(nested, keys, values)
def test_what_is_put_is_there_and_the_rest_stays(tree, key, value):
    before = copy.deepcopy(tree)

    after = trees.with_value(tree, key, value)

    assert trees.lookup(after, key) == value
    assert tree == before
    others = {
        k: v
        for k, v in trees.leaves(tree)
        if not (k == key or k.startswith(f"{key}.") or key.startswith(f"{k}."))
    }
    assert others.items() <= trees.flatten(after).items()


@given(nested, keys)
def test_what_is_removed_is_gone(tree, key):
    before = copy.deepcopy(tree)

    after = trees.without(tree, key)

    assert trees.lookup(after, key, "gone") == "gone"
    assert tree == before
    kept = {
        k: v for k, v in trees.leaves(tree) if k != key and not k.startswith(f"{key}.")
    }
    assert trees.flatten(after) == kept


@given(nested)
def test_leaves_make_the_tree_again(tree):
    made: trees.Tree = {}
    for key, value in trees.leaves(tree):
        made = trees.with_value(made, key, value)

    assert made == tree
    assert trees.nest(trees.flatten(tree)) == tree


@given(nested, nested)
def test_merging_takes_every_value_of_the_upper_tree(lower, upper):
    merged = trees.merge(lower, upper)

    for key, value in trees.leaves(upper):
        assert trees.lookup(merged, key, "gone") == value


@given(nested)
def test_the_index_knows_every_key(tree):
    for key, value in trees.index(tree).items():
        assert trees.lookup(tree, key, "gone") == value


def test_dotted_names_are_opened():
    assert trees.nest({"a.b": 1, "a": {"c.d": 2}}) == {"a": {"b": 1, "c": {"d": 2}}}
    assert trees.nest({"a": {"b": 1}, "a.b2": {}}) == {"a": {"b": 1, "b2": {}}}


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"a.b": 1, "a": {"b": 1}}, "given twice"),
        ({"a": 1, "a.b": 1}, "where it begins"),
        ({"a": {"": 1}}, "cannot be used"),
        ({"a*": 1}, "cannot be used"),
    ],
)
def test_names_that_collide_or_cannot_be_are_refused(tree, told):
    with pytest.raises(ConfigInvalid, match=told):
        trees.nest(tree)


def test_a_tree_that_is_too_deep_is_refused():
    deep: dict = {"x": 1}
    for _ in range(40):
        deep = {"x": deep}

    with pytest.raises(ConfigInvalid, match="deeper than 32"):
        trees.nest(deep)


def test_a_copy_may_be_changed():
    copied = trees.copied(TREE)
    copied["a"]["c"]["d"].append(3)

    assert TREE["a"]["c"]["d"] == [1, 2]
