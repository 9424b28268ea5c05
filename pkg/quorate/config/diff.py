"""What differs between two trees, key by key. Pure.

Values are compared with their types: 1, 1.0 and true are three values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from quorate.core.codec import Json

from .tree import MISSING, flatten


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that differs. A side that lacks the key is None; `kind` tells which."""

    key: str
    old: Json
    new: Json
    kind: Literal["added", "changed", "removed"]


def diff(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[KeyChange, ...]:
    """The changes that lead from `old` to `new`, in the order of their keys."""
    return tuple(sorted(_changes(flatten(old), flatten(new)), key=lambda c: c.key))


def same(left: object, right: object) -> bool:
    """Whether two values are equal in value and type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def _changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[KeyChange]:
    for key, value in new.items():
        before = old.get(key, MISSING)
        if before is MISSING:
            yield KeyChange(key, None, value, "added")
        elif before is not value and not same(before, value):
            yield KeyChange(key, before, value, "changed")
    for key, value in old.items():
        if key not in new:
            yield KeyChange(key, value, None, "removed")
