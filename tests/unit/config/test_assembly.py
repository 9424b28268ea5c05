"""A new whole is built aside and swapped in at once, or not at all."""

from __future__ import annotations

import pytest

from quorate.config.assembly import Assembly
from quorate.config.events import ConfigChanged
from quorate.config.layers import Content
from quorate.config.model import Layer, Loaded
from quorate.core.errors import ConfigInvalid
from quorate.core.events import silent
from quorate.core.scalars import Untyped


def content(name: str, tree: dict, layer: Layer = Layer.FILE, **known) -> Content:
    return Content(layer, 0, name, Loaded(tree, "1", **known))


def test_what_changed_is_told_once_for_the_whole_swap(heard):
    assembly = Assembly({}, heard.emit)
    told = []
    assembly.on_swap(lambda: told.append(assembly.snapshot.number))

    keys = assembly.put(content("a", {"x": 1}), content("b", {"y": {"z": 2}}))

    assert keys == ("x", "y.z")
    (event,) = heard.all(ConfigChanged)
    assert (event.keys, event.source, event.number) == (("x", "y.z"), "a, b", 1)
    assert told == [1]
    assert assembly.changes == 1


def test_the_same_content_again_changes_nothing(heard):
    assembly = Assembly({}, heard.emit)
    assembly.put(content("a", {"x": 1}))
    before = assembly.snapshot

    assert assembly.put(content("a", {"x": 1})) == ()

    assert heard.count(ConfigChanged) == 1
    assert assembly.snapshot.tree == before.tree
    assert assembly.content_of("a").loaded.tree == {"x": 1}


def test_a_hidden_change_is_no_change():
    assembly = Assembly({}, silent)
    assembly.put(content("file", {"x": 1}), content("top", {"x": 2}, Layer.OVERRIDE))

    assert assembly.put(content("file", {"x": 3})) == ()
    assert assembly.snapshot.paths["x"] == 2


def test_sources_of_a_layer_keep_the_order_in_which_they_came():
    assembly = Assembly({}, silent)
    assembly.put(content("first", {"x": 1}))
    assembly.put(content("second", {"x": 2}))

    assembly.put(content("first", {"x": 3}))

    assert assembly.snapshot.paths["x"] == 2


def test_the_revision_is_that_of_the_store():
    assembly = Assembly({}, silent)

    assembly.put(content("store", {}, Layer.STORE, revision=7))
    assembly.put(content("file", {"x": 1}))

    assert assembly.snapshot.revision == 7


def test_what_does_not_fit_together_leaves_everything_as_it_was(heard):
    assembly = Assembly({"x": int}, heard.emit)
    assembly.put(content("file", {"x": 1, "y": 1}))
    before = assembly.snapshot

    with pytest.raises(ConfigInvalid):
        assembly.put(content("file", {"x": Untyped("one"), "y": 2}))

    assert assembly.snapshot is before
    assert assembly.content_of("file").loaded.tree == {"x": 1, "y": 1}
    assert heard.count(ConfigChanged) == 1


def test_a_validator_may_refuse_a_snapshot():
    assembly = Assembly({}, silent)

    def at_least_one(snapshot) -> None:
        if snapshot.paths.get("x", 1) < 1:
            raise ValueError("x must be at least 1")

    assembly.validate_with(at_least_one)
    assembly.put(content("file", {"x": 5}))

    with pytest.raises(ConfigInvalid, match="x must be at least 1"):
        assembly.put(content("file", {"x": 0}))
    assert assembly.snapshot.paths["x"] == 5


def test_a_validator_that_refuses_what_is_in_force_is_not_added():
    assembly = Assembly({}, silent)

    def never(_snapshot) -> None:
        raise ConfigInvalid("never")

    with pytest.raises(ConfigInvalid, match="never"):
        assembly.validate_with(never)
    assembly.put(content("file", {"x": 1}))


def test_a_preview_changes_nothing():
    assembly = Assembly({}, silent)
    assembly.put(content("file", {"x": 1}))

    preview = assembly.preview(assembly.with_contents(content("file", {"x": 2})))

    assert preview.paths["x"] == 2
    assert assembly.snapshot.paths["x"] == 1
