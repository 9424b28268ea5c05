"""Which source wins, and why: the layers laid over each other. Pure.

    file < environment-specific file < remote < store < environment < override

Within a layer the source that was added later wins. A snapshot is built aside and never
changes; whoever holds one sees one state of the world, whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quorate.core.codec import Json
from quorate.core.errors import ConfigInvalid
from quorate.core.scalars import Untyped, coerce
from quorate.core.secret import masked_url

from .model import Layer, Loaded
from .tree import MISSING, Tree, index, leaves, lookup, merge

Kinds = Mapping[str, type]
"""Key → bool, int, float, str or list, where it is declared."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one source gave, and where it stands."""

    layer: Layer
    order: int
    source: str
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All values as of one moment. `number` counts the snapshots of this process."""

    number: int
    tree: Tree
    paths: Mapping[str, Json]
    contents: tuple[Content, ...]
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """What one source says of a key. Only one of them is in force."""

    layer: Layer
    source: str
    place: str
    value: Json
    in_force: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a key has its value: every source that knows it, the weakest first."""

    key: str
    value: Json
    found: bool
    origins: tuple[Origin, ...]

    def __str__(self) -> str:
        shown = _shown(self.value) if self.found else "not set"
        lines = [f"{self.key} = {shown}"]
        for origin in reversed(self.origins):
            mark = "→" if origin.in_force else " "
            place = f" ({origin.place})" if origin.place else ""
            lines.append(
                f"  {mark} {origin.layer.words}: {origin.source}{place}: "
                f"{_shown(origin.value)}"
            )
        return "\n".join(lines)


EMPTY = Snapshot(0, {}, {}, ())


def combine(
    contents: Iterable[Content], kinds: Kinds, *, number: int, revision: int = 0
) -> Snapshot:
    """The snapshot in which `contents` lie over each other.

    Text whose type was open gets the declared type, or in a variable that of the value
    that a file has there, or stays text. Raises `ConfigInvalid` naming every text that
    does not fit.
    """
    stack = sorted(contents, key=lambda content: (content.layer, content.order))
    tree: Tree = {}
    files: Tree = {}
    faults: list[str] = []
    for content in stack:
        typing = _Typing(content, kinds, files, faults)
        typed = typing.section(content.loaded.tree, "")
        tree = merge(tree, typed)
        if content.layer <= Layer.ENVIRONMENT_FILE:
            files = merge(files, typed)
    if faults:
        raise ConfigInvalid(
            "The configuration does not fit together.",
            "\n  ".join(faults),
            "Correct the text, or the value that it replaces.",
        )
    return Snapshot(number, tree, index(tree), tuple(stack), revision)


def explain(snapshot: Snapshot, key: str) -> Explanation:
    """Every source that says something of `key`, and which of them is in force."""
    value = snapshot.paths.get(key, MISSING)
    found = value is not MISSING
    known = [
        (content, said)
        for content in snapshot.contents
        if (said := lookup(content.loaded.tree, key, MISSING)) is not MISSING
    ]
    origins = tuple(
        Origin(
            content.layer,
            content.source,
            content.loaded.place_of(key),
            said,
            found and _in_force(key, said, [above for above, _ in known[number + 1 :]]),
        )
        for number, (content, said) in enumerate(known)
    )
    return Explanation(key, value if found else None, found, origins)


def _in_force(key: str, said: Json, above: list[Content]) -> bool:
    """Whether any value of `said` is left when the sources above have spoken."""
    section = isinstance(said, dict) and bool(said)
    names = [name for name, _ in leaves(said, key)] if section else [key]
    return any(
        all(lookup(content.loaded.tree, name, MISSING) is MISSING for content in above)
        for name in names
    )


class _Typing:
    """Gives the open texts of one source their types."""

    def __init__(
        self, content: Content, kinds: Kinds, files: Tree, faults: list[str]
    ) -> None:
        self._content = content
        self._kinds = kinds
        self._files = files if content.layer is Layer.ENVIRONMENT else {}
        self._faults = faults

    def section(self, tree: Mapping[str, Json], path: str) -> Tree:
        return dict(self._entries(tree, path))

    def _entries(
        self, tree: Mapping[str, Json], path: str
    ) -> Iterator[tuple[str, Json]]:
        for name, value in tree.items():
            here = f"{path}.{name}" if path else name
            if isinstance(value, dict):
                yield name, self.section(value, here)
            elif isinstance(value, list):
                yield name, [str(i) if isinstance(i, Untyped) else i for i in value]
            elif isinstance(value, Untyped):
                yield name, self._text(here, value)
            else:
                yield name, value

    def _text(self, key: str, text: Untyped) -> Json:
        kind = self._kinds.get(key) or type(lookup(self._files, key, ""))
        if kind is list:
            return [part.strip() for part in text.split(",") if part.strip()]
        if kind not in (bool, int, float):
            return str(text)
        try:
            return coerce(text, kind)
        except ValueError as error:
            place = self._content.loaded.place_of(key)
            where = f"{self._content.source}{place and ', '}{place}"
            self._faults.append(f"{key}: its text {error} ({where}).")
            return str(text)


def _shown(value: Json) -> str:
    """`value` for people: short, and without the passwords of addresses."""
    if isinstance(value, dict):
        return f"a section of {len(value)}"
    text = repr(masked_url(value) if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
