"""What the store holds after each transaction, computed the same way everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.config.model import Commit, Contents, Cursor, Layer, Loaded, Write
from quorate.config.tree import Tree, with_value, without

names = st.sampled_from(["a", "b", "c"])
keys = st.lists(names, min_size=1, max_size=3).map(".".join)
values = st.recursive(
    st.integers(0, 9) | st.just({}) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=4,
)
writes = st.builds(Write, keys, values) | st.builds(
    lambda key: Write(key, delete=True), keys
)


def commit(revision: int, *written: Write) -> Commit:
    return Commit(revision, f"id{revision}", 0.0, "", "", written)


@given(st.lists(writes, max_size=12))
def test_the_contents_are_the_tree_that_the_writes_make(written):
    contents, tree = Contents(), Tree()

    for revision, write in enumerate(written, start=1):
        contents = contents.after((commit(revision, write),))
        if write.delete:
            tree = without(tree, write.key)
        else:
            tree = with_value(tree, write.key, write.value)

    assert contents.tree() == tree


@given(st.lists(writes, max_size=12), keys)
def test_the_revision_of_a_key_is_that_of_its_last_change(written, key):
    contents, expected = Contents(), 0

    for revision, write in enumerate(written, start=1):
        before = contents
        contents = contents.after((commit(revision, write),))
        touched = {
            name
            for name in {*before.leaves, *contents.leaves}
            if (name == key or name.startswith(f"{key}."))
            and before.leaves.get(name) != contents.leaves.get(name)
        }
        expected = revision if touched else expected

    assert contents.revision_of(key) == expected


@given(st.lists(writes, max_size=10))
def test_no_two_leaves_ever_overlap(written):
    contents = Contents().after(
        commit(revision, write) for revision, write in enumerate(written, start=1)
    )

    for name in contents.leaves:
        assert not any(other.startswith(f"{name}.") for other in contents.leaves)
        assert name not in contents.gone


def test_contents_are_never_changed_in_place():
    before = Contents()

    before.after((commit(1, Write("a", 1)),))

    assert before == Contents()


def test_the_cursor_moves_with_the_commits_and_takes_the_epoch():
    contents = Contents().after((commit(1, Write("a", 1)),), "row")

    assert contents.cursor == Cursor("row", 1, "id1")
    assert contents.after(()).cursor == contents.cursor


@pytest.mark.parametrize(
    ("key", "concerned"),
    [("a.b", True), ("a", True), ("a.b.c", True), ("a.bc", False), ("b", False)],
)
def test_a_commit_concerns_what_is_at_below_and_around(key, concerned):
    assert commit(1, Write("a.b", 1)).concerns(key) is concerned


def test_a_place_is_that_of_the_key_or_of_its_section():
    loaded = Loaded({}, "", {"a": "line 1", "a.b": "line 2"})

    assert loaded.place_of("a.b") == "line 2"
    assert loaded.place_of("a.c.d") == "line 1"
    assert loaded.place_of("x.y") == ""


def test_layers_have_words_for_people():
    assert Layer.ENVIRONMENT_FILE.words == "environment file"
    assert Layer.FILE < Layer.ENVIRONMENT_FILE < Layer.STORE < Layer.ENVIRONMENT
