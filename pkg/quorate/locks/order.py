"""In which order locks are taken inside each other, and the first time it is inverted.

Two owners that take the same locks in different orders will wait in a circle some day,
even if they never did in a test. Seen orders are kept as a graph; a lock that leads
back to one that is held closes a circle (as the Linux kernel's lockdep does). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Inversion:
    """`second` was taken inside `first`; `before` took them the other way round."""

    first: str
    second: str
    before: str


class LockOrder:
    """What one process has seen. The oldest names are forgotten when there are many."""

    def __init__(self, most_names: int = MOST_NAMES) -> None:
        self._most = most_names
        self._inside: dict[str, dict[str, str]] = {}
        self._told: set[frozenset[str]] = set()

    def taken(self, name: str, held: Iterable[str], by: str) -> list[Inversion]:
        """`by` took `name` while it held these. Returns what is inverted by that.

        Each pair is told once.
        """
        found = []
        for first in held:
            seen = self._inside.setdefault(first, {})
            if name in seen or name == first:
                continue
            pair = frozenset((first, name))
            before = self._leads(name, first)
            if before and pair not in self._told:
                self._told.add(pair)
                found.append(Inversion(first, name, before))
            seen[name] = by
        self._forget()
        return found

    def _leads(self, start: str, end: str) -> str:
        """Who has taken `end` inside `start`, directly or through others; or ''."""
        open_, seen = [start], {start}
        while open_:
            for name, by in self._inside.get(open_.pop(), {}).items():
                if name == end:
                    return by
                if name not in seen:
                    seen.add(name)
                    open_.append(name)
        return ""

    def _forget(self) -> None:
        while len(self._inside) > self._most:
            del self._inside[next(iter(self._inside))]
        if len(self._told) > self._most:
            self._told.clear()
