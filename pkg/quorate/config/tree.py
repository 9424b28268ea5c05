"""Nested values addressed by dotted keys: `database.url`. Pure.

A tree is never changed in place: every function that changes something returns another
tree and shares what stays the same. Lists are values, not levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from quorate.core.codec import Json
from quorate.core.errors import ConfigInvalid, InvalidName
from quorate.core.names import check_name

Tree: TypeAlias = dict[str, Json]

MAX_PARTS = 32
"""Levels of a tree, and parts of a key."""

MISSING = object()

_FORBIDDEN = frozenset("*?[]/\\")


def check_key(key: object) -> str:
    """The key itself, if it can be used. Raises `InvalidName`."""
    checked = check_name(key, "key")
    parts = checked.split(".")
    why = ""
    if len(parts) > MAX_PARTS:
        why = f"It has {len(parts)} parts; {MAX_PARTS} are allowed."
    elif any(not part or part != part.strip() for part in parts):
        why = "One of its parts is empty, or begins or ends with a space."
    elif found := _FORBIDDEN.intersection(checked):
        why = f"It has {' '.join(sorted(found))} in it; patterns and paths use these."
    if why:
        raise InvalidName(
            f"The key {checked!r} cannot be used.",
            why,
            "Write names between dots, such as 'database.url'.",
        )
    return checked


def sections_of(key: str) -> Iterator[str]:
    """The sections around `key`, the outermost first: `a` and `a.b` of `a.b.c`."""
    dot = key.find(".")
    while dot >= 0:
        yield key[:dot]
        dot = key.find(".", dot + 1)


def lookup(tree: Mapping[str, Json], key: str, default: object = None) -> Json:
    """What is at `key`: a value, a whole section, or `default`."""
    node: Json = tree
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return default
        node = node[part]
    return node


def with_value(tree: Tree, key: str, value: Json) -> Tree:
    """`tree` with `value` at `key`, in place of whatever was there."""
    part, _, rest = key.partition(".")
    if not rest:
        return {**tree, part: value}
    below = tree.get(part)
    return {
        **tree,
        part: with_value(below if isinstance(below, dict) else {}, rest, value),
    }


def without(tree: Tree, key: str) -> Tree:
    """`tree` without `key` and without the sections that this leaves empty."""
    part, _, rest = key.partition(".")
    if part not in tree:
        return tree
    below = tree[part]
    if rest and not isinstance(below, dict):
        return tree
    left = without(below, rest) if rest else {}
    if left:
        return {**tree, part: left}
    if rest and not below:
        return tree
    return {name: value for name, value in tree.items() if name != part}


def merge(lower: Tree, upper: Tree) -> Tree:
    """`upper` laid over `lower`: sections merge, everything else is replaced."""
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        if isinstance(value, dict) and isinstance(below, dict) and value:
            merged[name] = merge(below, value)
        else:
            merged[name] = value
    return merged


def grown(leaves: Iterable[tuple[str, Json]]) -> Tree:
    """The tree of `leaves`, none of which lies within another."""
    made: Tree = {}
    for key, value in leaves:
        at = made
        *sections, last = key.split(".")
        for part in sections:
            at = at.setdefault(part, {})
        at[last] = value
    return made


def leaves(tree: Mapping[str, Json], path: str = "") -> Iterator[tuple[str, Json]]:
    """Every value and its key. An empty section is a value, too."""
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def flatten(tree: Mapping[str, Json]) -> dict[str, Json]:
    """`leaves` as a dictionary."""
    return dict(leaves(tree))


def index(tree: Mapping[str, Json]) -> dict[str, Json]:
    """Every key, of values and of sections, to what is there."""
    found: dict[str, Json] = {}

    def walk(node: Mapping[str, Json], path: str) -> None:
        for name, value in node.items():
            here = f"{path}.{name}" if path else name
            found[here] = value
            if isinstance(value, dict):
                walk(value, here)

    walk(tree, "")
    return found


def nest(tree: Mapping[str, Json]) -> Tree:
    """`tree` with dotted names opened: `{"a.b": 1}` is `{"a": {"b": 1}}`.

    Raises `ConfigInvalid` for a key that cannot be used, for one that is given twice in
    this way, and for more than 32 levels.
    """
    opened: Tree = {}
    for key, value in _dotted(tree, ()):
        try:
            check_key(key)
        except InvalidName as error:
            raise ConfigInvalid(error.what, error.why, error.fix) from error
        at = opened
        *sections, last = key.split(".")
        for part in sections:
            below = at.setdefault(part, {})
            if not isinstance(below, dict):
                raise ConfigInvalid(f"{key} is given, and a value where it begins.")
            at = below
        if last in at and not (value == {} and isinstance(at[last], dict)):
            raise ConfigInvalid(f"{key} is given twice.")
        at.setdefault(last, value)
    return opened


def _dotted(
    tree: Mapping[str, Json], path: tuple[str, ...]
) -> Iterator[tuple[str, Json]]:
    if len(path) >= MAX_PARTS:
        raise ConfigInvalid(
            f"{'.'.join(path[:3])}… is nested deeper than {MAX_PARTS} levels."
        )
    for name, value in tree.items():
        here = (*path, name)
        if isinstance(value, dict) and value:
            yield from _dotted(value, here)
        else:
            yield ".".join(here), value


def copied(value: Json) -> Json:
    """A copy that its owner may change."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value
