"""The words of configuration: layers, what a source gave, and what the store keeps.

The store is a row of transactions, each with one revision. What it holds at a revision
is a set of leaves, values that are not sections, so that no two of its entries ever
overlap. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from quorate.core.codec import Json
from quorate.core.fence import Fence

from .tree import Tree, grown, leaves


class Layer(IntEnum):
    """Who wins: a higher layer lies over all lower ones."""

    FILE = 1
    ENVIRONMENT_FILE = 2
    REMOTE = 3
    STORE = 4
    ENVIRONMENT = 5
    OVERRIDE = 6

    @property
    def words(self) -> str:
        """The name for people: `environment file`."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a source holds. Equal versions mean equal content.

    `places` tells where a key was written: a file and line, a variable. `revision` is
    the store's, from the store alone.
    """

    tree: Tree
    version: str
    places: Mapping[str, str] = field(default_factory=dict)
    revision: int | None = None

    def place_of(self, key: str) -> str:
        """Where `key`, or the section around it, was written; empty if unknown."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return ""


@dataclass(frozen=True, slots=True)
class Write:
    """One key of a transaction.

    `value` takes the place of everything at and below `key`; `delete` removes that.
    `expect` is the revision that the key must have, 0 if it must not exist.
    """

    key: str
    value: Json = None
    delete: bool = False
    expect: int | None = None

    def put(self) -> tuple[tuple[str, Json], ...]:
        """The leaves that this writes."""
        if self.delete:
            return ()
        if isinstance(self.value, dict) and self.value:
            return tuple(leaves(self.value, self.key))
        return ((self.key, self.value),)


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to be: all of it happens, or nothing.

    `id` makes it happen once, however often it is sent. `expect` is the revision that
    the whole store must have; under a `fence` nothing is written once a later grant of
    its name has written.
    """

    id: str
    writes: tuple[Write, ...]
    expect: int | None = None
    fence: Fence | None = None
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction that happened. `at` is the server's wall time in seconds."""

    revision: int
    id: str
    at: float
    author: str
    comment: str
    writes: tuple[Write, ...]

    def concerns(self, key: str) -> bool:
        """Whether it wrote at, below or around `key`."""
        return any(
            write.key == key
            or write.key.startswith(f"{key}.")
            or key.startswith(f"{write.key}.")
            for write in self.writes
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the row of transactions.

    `epoch` names the row, `id` the transaction with this revision: after a failover
    that lost some, the number alone could mean another one.
    """

    epoch: str = ""
    revision: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value in the store, and the revision that wrote it."""

    value: Json
    revision: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the store holds at one revision. `gone` are the leaves removed."""

    cursor: Cursor = Cursor()
    leaves: Mapping[str, Leaf] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    def tree(self) -> Tree:
        """The leaves as a tree."""
        return grown((key, leaf.value) for key, leaf in self.leaves.items())

    def revision_of(self, key: str) -> int:
        """The revision that last touched `key` or anything below it; 0 if none did."""
        below = f"{key}."
        live = (
            leaf.revision
            for name, leaf in self.leaves.items()
            if name == key or name.startswith(below)
        )
        gone = (
            revision
            for name, revision in self.gone.items()
            if name == key or name.startswith(below)
        )
        return max((*live, *gone), default=0)

    def after(self, commits: Iterable[Commit], epoch: str = "") -> Contents:
        """The contents once `commits`, which must follow directly, have happened.

        `epoch` is that of the store; an empty store has none yet.
        """
        live, gone = dict(self.leaves), dict(self.gone)
        cursor = replace(self.cursor, epoch=epoch or self.cursor.epoch)
        for commit in commits:
            assert commit.revision == cursor.revision + 1
            for write in commit.writes:
                for name in _displaced(live, write):
                    del live[name]
                    gone[name] = commit.revision
                for name, value in write.put():
                    live[name] = Leaf(value, commit.revision)
                    gone.pop(name, None)
            cursor = Cursor(cursor.epoch, commit.revision, commit.id)
        return Contents(cursor, live, gone)


def _displaced(live: Mapping[str, Leaf], write: Write) -> list[str]:
    """The leaves that `write` removes: at and below its key, and those around it."""
    below = f"{write.key}."
    return [
        name
        for name in live
        if name == write.key
        or name.startswith(below)
        or (not write.delete and write.key.startswith(f"{name}."))
    ]
