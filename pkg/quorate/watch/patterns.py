"""Who wants to hear of key a.b.c.

A pattern is a dotted key in which `*` stands for any characters within one part and
`**`, as a whole part, for any number of parts, none included: `database.**` is
`database` and all below it. Not a regular expression: the work for one key is bounded
by (length of pattern) × (length of key). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.core.errors import InvalidInput
from quorate.core.names import MAX_NAME_BYTES, check_name

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

ANY_PARTS = "**"
MAX_PARTS = 32


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that has been checked. Made by `Pattern.parse`."""

    text: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises `InvalidInput` for what is not a pattern."""
        check_name(text, "pattern")
        parts = tuple(text.split("."))
        why = ""
        if len(parts) > MAX_PARTS:
            why = f"It has {len(parts)} parts; {MAX_PARTS} are allowed."
        elif "" in parts:
            why = "One of its parts is empty."
        elif any(ANY_PARTS in part and part != ANY_PARTS for part in parts):
            why = "`**` must be a part of its own, between dots."
        if why:
            raise InvalidInput(
                f"{text!r} is not a pattern.",
                why,
                "Write for instance 'database.url', 'database.*' or 'database.**'.",
            )
        return cls(text, parts)

    @property
    def is_plain(self) -> bool:
        """Whether it names exactly one key."""
        return "*" not in self.text

    def matches(self, key: str) -> bool:
        """Whether `key` is meant. A key that no name may be is never meant."""
        if self.is_plain:
            return key == self.text
        if len(key) > MAX_NAME_BYTES:
            return False
        return _glob(self.parts, key.split("."), ANY_PARTS, _part_matches)


class Interests(Generic[T]):
    """Who asked for which pattern. Plain keys are found without a search."""

    def __init__(self) -> None:
        self._plain: dict[str, list[T]] = {}
        self._wild: list[tuple[Pattern, T]] = []

    def __len__(self) -> int:
        return sum(map(len, self._plain.values())) + len(self._wild)

    def add(self, pattern: Pattern, who: T) -> None:
        """`who` wants to hear of keys that match."""
        if pattern.is_plain:
            self._plain.setdefault(pattern.text, []).append(who)
        else:
            self._wild.append((pattern, who))

    def remove(self, pattern: Pattern, who: T) -> None:
        """The opposite of `add`; harmless if it was not there."""
        if pattern.is_plain:
            asked = self._plain.get(pattern.text, [])
            if who in asked:
                asked.remove(who)
            if not asked:
                self._plain.pop(pattern.text, None)
        elif (pattern, who) in self._wild:
            self._wild.remove((pattern, who))

    def who(self, key: str) -> Iterator[T]:
        """All who asked for `key`; once for each pattern that matches."""
        yield from self._plain.get(key, ())
        for pattern, who in self._wild:
            if pattern.matches(key):
                yield who


def _part_matches(pattern: str, part: str) -> bool:
    if "*" not in pattern:
        return pattern == part
    return bool(part) and _glob(pattern, part, "*", str.__eq__)


def _glob(
    pattern: Sequence[A], items: Sequence[B], star: A, same: Callable[[A, B], bool]
) -> bool:
    """Match greedily, and on failure let the last star take one more item.

    Only the last star ever needs to be tried again, so the work is at most
    len(pattern) × len(items).
    """
    at = item = 0
    last_star, taken = -1, 0
    while item < len(items):
        if at < len(pattern) and pattern[at] == star:
            last_star, taken = at, item
            at += 1
        elif at < len(pattern) and same(pattern[at], items[item]):
            at += 1
            item += 1
        elif last_star >= 0:
            taken += 1
            at, item = last_star + 1, taken
        else:
            return False
    return all(part == star for part in pattern[at:])
