"""A tree of frozen dataclasses as a schema: built whole, or refused with every fault.

Each field says its unit, its limits and why it is there (`setting`), so the same
declaration checks, documents and words the errors. Nothing is built from a tree that
has a fault. Pure.
"""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, cast

from .codec import Json
from .scalars import Untyped, coerce
from .secret import Secret

T = TypeVar("T")

Where = Callable[[str], str]
"""Path → where its value was written (a file and line, a variable), or empty."""

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a section",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known of a setting beside its type."""

    why: str
    unit: str = ""
    name: str = ""
    env: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    def broken_by(self, value: float) -> str:
        """How `value` breaks the limits, or empty."""
        if not math.isfinite(value):
            return "must be finite"
        if self.above is not None and value <= self.above:
            return f"must be above {short(self.above)}"
        if self.at_least is not None and value < self.at_least:
            return f"must be at least {short(self.at_least)}"
        if self.at_most is not None and value > self.at_most:
            return f"must be at most {short(self.at_most)}"
        return ""


@dataclass(frozen=True, slots=True)
class Described:
    """One setting of a shape, for documents and look-ups."""

    path: str
    kind: object
    default: object
    rule: Rule


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where it was written."""

    path: str
    problem: str
    where: str = ""
    beside: tuple[str, ...] = ()
    """Other settings that the problem depends on."""

    def __str__(self) -> str:
        return f"{self.path} {self.problem}" + (
            f" ({self.where})" if self.where else ""
        )


def setting(default: T, why: str, **known: Any) -> T:
    """A field with its reason; `known` are the other fields of `Rule`."""
    return field(default=default, metadata={"rule": Rule(why, **known)})


def section(kind: type[T], *, name: str = "") -> T:
    """A field that holds a section; `name` where Python cannot spell it."""
    return field(default_factory=kind, metadata={"rule": Rule("", name=name)})


def describe(kind: type, path: str = "") -> Iterator[Described]:
    """Every setting of the shape, depth first, in the order of declaration."""
    for name, entry, inner in _entries(kind):
        here = f"{path}.{name}" if path else name
        if is_dataclass(inner):
            yield from describe(cast(type, inner), here)
        else:
            default = None if entry.default is MISSING else entry.default
            yield Described(here, inner, default, entry.metadata["rule"])


def build(
    kind: type[T], tree: Mapping[str, Json], where: Where = lambda _: ""
) -> tuple[T, tuple[Fault, ...]]:
    """The shape filled from `tree`, and everything that is wrong with it.

    What is wrong stands at its default, so that the rest can still be judged; a shape
    with faults must not be used for anything else.
    """
    builder = _Builder(kind, where)
    value = builder.section(kind, tree, "")
    return cast(T, value), tuple(builder.faults)


def meant(word: str, known: Mapping[str, str] | list[str]) -> str:
    """` Did you mean …?`, or empty if nothing known is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if not near:
        return ""
    full = known[near[0]] if isinstance(known, Mapping) else near[0]
    return f" Did you mean {full}?"


def _entries(kind: type) -> Iterator[tuple[str, Field[Any], object]]:
    hints = typing.get_type_hints(kind)
    for entry in fields(kind):
        rule: Rule = entry.metadata["rule"]
        yield rule.name or entry.name, entry, hints[entry.name]


class _Builder:
    def __init__(self, root: type, where: Where) -> None:
        self.faults: list[Fault] = []
        self._where = where
        self._last_words = {d.path.rpartition(".")[2]: d.path for d in describe(root)}

    def section(self, kind: type, tree: Json, path: str) -> object:
        if tree is None:
            tree = {}
        if not isinstance(tree, Mapping):
            self._fault(path, f"must be a section, not {_word(tree)}.")
            tree = {}
        known = {name: (entry, inner) for name, entry, inner in _entries(kind)}
        self._unknown(path, tree, list(known))
        values: dict[str, object] = {}
        for name, (entry, inner) in known.items():
            here = f"{path}.{name}" if path else name
            if is_dataclass(inner):
                nested = tree.get(name, {})
                values[entry.name] = self.section(cast(type, inner), nested, here)
            elif name in tree:
                faults = len(self.faults)
                made = self._leaf(here, tree[name], inner, entry.metadata["rule"])
                if len(self.faults) == faults:
                    values[entry.name] = made
        return kind(**values)

    def _unknown(self, path: str, tree: Mapping[str, Json], known: list[str]) -> None:
        for name in tree:
            if name in known:
                continue
            here = f"{path}.{name}" if path else str(name)
            siblings = {k: f"{path}.{k}" if path else k for k in known}
            guess = meant(str(name), siblings) or meant(str(name), self._last_words)
            self._fault(here, f"is not a setting.{guess}")

    def _leaf(self, path: str, value: Json, kind: object, rule: Rule) -> object:
        if value is None:
            self._fault(path, "has no value; leave it out to get the default.")
            return None
        try:
            made = _typed(value, kind)
        except ValueError as error:
            shown = "" if _is_secret(kind) else f"= {_shown(value)} "
            self._fault(path, f"{shown}{error}.")
            return None
        number = isinstance(made, int | float) and not isinstance(made, bool)
        broken = rule.broken_by(cast(float, made)) if number else ""
        if broken:
            self._fault(path, f"= {_shown(value)} {broken}: {rule.why}")
        return made

    def _fault(self, path: str, problem: str) -> None:
        self.faults.append(Fault(path, problem, self._where(path)))


def _typed(value: Json, kind: object) -> object:
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _texts(value)
    if origin is Literal:
        return _choice(value, typing.get_args(kind))
    assert isinstance(kind, type)
    if issubclass(kind, Secret):
        return kind(cast(str, _scalar(value, str)))
    return _scalar(value, kind)


def _texts(value: Json) -> tuple[str, ...]:
    if isinstance(value, Untyped):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise ValueError(f"must be a list of texts, not {_word(value)}")
    return tuple(cast(str, _scalar(item, str)) for item in value)


def _choice(value: Json, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and value.lower() in allowed:
        return value.lower()
    guess = meant(str(value), list(allowed))
    raise ValueError(f"must be one of {', '.join(allowed)}.{guess}".rstrip("."))


def _scalar(value: Json, kind: type) -> object:
    if isinstance(value, Untyped):
        return coerce(value, kind)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    quoted = kind is str and not isinstance(value, list | dict)
    hint = "; put it in quotes" if quoted else ""
    raise ValueError(f"must be {_WORDS[kind]}, not {_word(value)}{hint}")


def _word(value: Json) -> str:
    kind = str if isinstance(value, str) else type(value)
    return _WORDS.get(kind, kind.__name__)


def _shown(value: Json) -> str:
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_secret(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Secret)


def short(number: float) -> str:
    """A limit as people write it: 30, not 30.0."""
    return str(int(number)) if number == int(number) else str(number)


def plain(value: object) -> Json:
    """A default as it is written in a file."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def tree_of(value: object) -> dict[str, Json]:
    """A built shape as the tree that `build` makes it of again, secrets in the open."""
    kind = type(value)
    return {
        name: tree_of(inner) if is_dataclass(inner) else plain(inner)
        for name, entry, _ in _entries(kind)
        for inner in (getattr(value, entry.name),)
    }
