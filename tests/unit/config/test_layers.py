"""Who wins, why, and what type the text of a variable gets."""

from __future__ import annotations

import pytest

from quorate.config.layers import EMPTY, Content, combine, explain
from quorate.config.model import Layer, Loaded
from quorate.core.errors import ConfigInvalid
from quorate.core.scalars import Untyped

LAYERS = list(Layer)


def content(layer: Layer, tree: dict, *, order: int = 0, **places: str) -> Content:
    name = f"{layer.name.lower()}{order}"
    return Content(layer, order, name, Loaded(tree, "1", places))


def combined(*contents: Content, kinds: dict[str, type] | None = None):
    return combine(contents, kinds or {}, number=1)


@pytest.mark.parametrize("strongest", range(len(LAYERS)))
def test_the_highest_layer_wins(strongest):
    contents = [content(layer, {"k": layer.name}) for layer in LAYERS[: strongest + 1]]

    snapshot = combined(*reversed(contents))

    assert snapshot.paths["k"] == LAYERS[strongest].name


def test_within_a_layer_the_later_source_wins():
    first = content(Layer.FILE, {"k": 1}, order=0)
    second = content(Layer.FILE, {"k": 2}, order=1)

    assert combined(second, first).paths["k"] == 2


def test_sections_of_all_layers_lie_over_each_other():
    snapshot = combined(
        content(Layer.FILE, {"db": {"url": "file", "pool": 5}}),
        content(Layer.STORE, {"db": {"url": "store"}}),
        content(Layer.OVERRIDE, {"db": {"tls": True}}),
    )

    assert snapshot.tree == {"db": {"url": "store", "pool": 5, "tls": True}}
    assert snapshot.paths["db"] == snapshot.tree["db"]
    assert snapshot.paths["db.url"] == "store"


TYPED = [
    (5, "7", 7),
    (0.5, "7", 7.0),
    (True, "off", False),
    ("text", "7", "7"),
    (None, "7", "7"),
    (["x"], "a, b", ["a", "b"]),
    ({"x": 1}, "7", "7"),
]


@pytest.mark.parametrize(("in_file", "text", "value"), TYPED)
def test_a_variable_gets_the_type_that_the_file_has(in_file, text, value):
    snapshot = combined(
        content(Layer.FILE, {"k": in_file}),
        content(Layer.ENVIRONMENT, {"k": Untyped(text)}),
    )

    assert snapshot.paths["k"] == value
    assert type(snapshot.paths["k"]) is type(value)


def test_a_variable_that_no_file_knows_stays_text():
    snapshot = combined(
        content(Layer.STORE, {"k": 5}), content(Layer.ENVIRONMENT, {"k": Untyped("7")})
    )

    assert snapshot.paths["k"] == "7"
    assert type(snapshot.paths["k"]) is str


def test_filled_text_of_a_file_stays_text_unless_its_type_is_declared():
    file = content(
        Layer.FILE,
        {"password": Untyped("0123456"), "n": Untyped("7"), "l": [Untyped("x")]},
    )

    snapshot = combined(file, kinds={"n": int})

    assert snapshot.tree == {"password": "0123456", "n": 7, "l": ["x"]}
    assert type(snapshot.tree["l"][0]) is str


def test_declared_types_hold_for_variables_too():
    variables = content(
        Layer.ENVIRONMENT, {"a": {"b": Untyped("yes"), "c": Untyped("x,y")}}
    )

    snapshot = combined(variables, kinds={"a.b": bool, "a.c": list})

    assert snapshot.tree == {"a": {"b": True, "c": ["x", "y"]}}


def test_every_text_that_does_not_fit_is_told_without_its_value():
    file = content(Layer.FILE, {"n": 5, "on": True})
    variables = content(
        Layer.ENVIRONMENT,
        {"n": Untyped("hunter2"), "on": Untyped("hunter2")},
        n="QUORATE_N",
    )

    with pytest.raises(ConfigInvalid) as refused:
        combined(file, variables)

    told = str(refused.value)
    assert "n: its text is not a whole number (environment0, QUORATE_N)." in told
    assert "on: its text is neither true nor false (environment0)." in told
    assert "hunter2" not in told


def test_an_explanation_shows_every_layer_and_where_in_it():
    snapshot = combined(
        content(
            Layer.FILE, {"db": {"url": "redis://:secret@h"}}, **{"db.url": "line 3"}
        ),
        content(Layer.STORE, {"db": {"url": "b"}}, **{"db.url": "revision 7"}),
        content(Layer.ENVIRONMENT, {"other": Untyped("x")}),
    )

    explanation = explain(snapshot, "db.url")

    assert [origin.in_force for origin in explanation.origins] == [False, True]
    assert str(explanation) == (
        "db.url = 'b'\n"
        "  → store: store0 (revision 7): 'b'\n"
        "    file: file0 (line 3): 'redis://:****@h'"
    )


def test_a_section_is_in_force_wherever_one_of_its_values_is():
    snapshot = combined(
        content(Layer.FILE, {"db": {"url": "a", "pool": 5}}),
        content(Layer.ENVIRONMENT_FILE, {"db": {"url": "b"}}),
        content(Layer.STORE, {"db": {"url": "c"}}),
    )

    explanation = explain(snapshot, "db")

    assert [origin.in_force for origin in explanation.origins] == [True, False, True]
    assert "a section of 2" in str(explanation)


def test_a_key_that_nobody_knows_is_explained_as_not_set():
    explanation = explain(EMPTY, "x")

    assert not explanation.found
    assert str(explanation) == "x = not set"


def test_a_value_under_a_scalar_is_not_in_force():
    snapshot = combined(
        content(Layer.FILE, {"db": {"url": "a"}}), content(Layer.STORE, {"db": 5})
    )

    explanation = explain(snapshot, "db.url")

    assert not explanation.found
    assert [origin.in_force for origin in explanation.origins] == [False]


def test_long_values_are_shown_short():
    snapshot = combined(content(Layer.FILE, {"k": "x" * 500}))

    assert len(str(explain(snapshot, "k")).splitlines()[0]) < 100
