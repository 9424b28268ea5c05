"""YAML, only as much of it as configuration needs. Pure.

Built from the parser's events, so that every limit holds before anything grows: one
document, keys are text and stand once, no tags, at most 32 levels, and aliases are paid
for by the size of what they stand for. Plain values are read by YAML 1.2's core rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from quorate.core.codec import MAX_INT, Json
from quorate.core.errors import ConfigInvalid
from quorate.core.scalars import resolve

from .tree import MAX_PARTS

MAX_NODES = 100_000
"""Values of one document, aliases counted by what they stand for."""

_LOADER = getattr(yaml, "CLoader", yaml.Loader)
"""Only its parser is used: no constructor ever sees the text."""


@dataclass(slots=True)
class _Node:
    """A finished value, how many values it holds, and how deep it is."""

    value: Json
    size: int = 1
    depth: int = 0


@dataclass(slots=True)
class _Reading:
    events: Iterator[yaml.Event]
    name: str
    lines: dict[str, int] = field(default_factory=dict)
    anchors: dict[str, _Node] = field(default_factory=dict)
    nodes: int = 0


def parse_yaml(text: str, name: str) -> tuple[Json, dict[str, int]]:
    """The value, and the line on which each key stands. Raises `ConfigInvalid`."""
    reading = _Reading(yaml.parse(text, Loader=_LOADER), name)
    try:
        return _document(reading), reading.lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigInvalid(
            f"{name} is not valid YAML (line {line}).", error.problem or str(error)
        ) from error
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"{name} is not valid YAML.", str(error)) from error


def _document(reading: _Reading) -> Json:
    value: Json = None
    documents = 0
    for event in reading.events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refusal(reading, event, "has a second document")
            value = _node(reading, next(reading.events), (), 0).value
    return value


def _node(
    reading: _Reading, event: yaml.Event, path: tuple[str, ...], depth: int
) -> _Node:
    if depth > MAX_PARTS:
        raise _refusal(reading, event, f"is nested deeper than {MAX_PARTS} levels")
    if isinstance(event, yaml.AliasEvent):
        return _alias(reading, event, depth)
    assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
    _count(reading, event, 1)
    if event.tag:
        raise _refusal(reading, event, f"has the tag {event.tag}")
    if isinstance(event, yaml.MappingStartEvent):
        node = _mapping(reading, path, depth)
    elif isinstance(event, yaml.SequenceStartEvent):
        node = _sequence(reading, path, depth)
    else:
        assert isinstance(event, yaml.ScalarEvent)
        node = _Node(_scalar(reading, event))
    if event.anchor:
        reading.anchors[event.anchor] = node
    return node


def _alias(reading: _Reading, event: yaml.AliasEvent, depth: int) -> _Node:
    node = reading.anchors.get(event.anchor or "")
    if node is None:
        raise _refusal(reading, event, f"uses *{event.anchor} before its end")
    _count(reading, event, node.size)
    if depth + node.depth > MAX_PARTS:
        raise _refusal(reading, event, f"is nested deeper than {MAX_PARTS} levels")
    return node


def _mapping(reading: _Reading, path: tuple[str, ...], depth: int) -> _Node:
    made: dict[str, Json] = {}
    size, deepest = 1, 0
    for event in reading.events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _key(reading, event)
        if key in made:
            raise _refusal(reading, event, f"has the key {key!r} twice")
        here = (*path, key)
        reading.lines.setdefault(".".join(here), _line(event))
        node = _node(reading, next(reading.events), here, depth + 1)
        made[key] = node.value
        size, deepest = size + node.size, max(deepest, node.depth + 1)
    return _Node(made, size, deepest)


def _key(reading: _Reading, event: yaml.Event) -> str:
    if (
        not isinstance(event, yaml.ScalarEvent)
        or event.tag
        or (event.implicit[0] and not isinstance(resolve(event.value), str))
    ):
        raise _refusal(reading, event, "has a key that is not text; put it in quotes")
    if event.value == "<<":
        raise _refusal(reading, event, "uses the merge key <<, which YAML 1.2 lacks")
    return event.value


def _sequence(reading: _Reading, path: tuple[str, ...], depth: int) -> _Node:
    made: list[Json] = []
    size, deepest = 1, 0
    for event in reading.events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        node = _node(reading, event, (*path, str(len(made))), depth + 1)
        made.append(node.value)
        size, deepest = size + node.size, max(deepest, node.depth + 1)
    return _Node(made, size, deepest)


def _scalar(reading: _Reading, event: yaml.ScalarEvent) -> Json:
    if not event.implicit[0]:
        return event.value
    value = resolve(event.value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(reading, event, f"has {event.value}, which cannot travel")
    if isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        raise _refusal(reading, event, "has a number beyond 64 bits; put it in quotes")
    return value


def _count(reading: _Reading, event: yaml.Event, nodes: int) -> None:
    reading.nodes += nodes
    if reading.nodes > MAX_NODES:
        raise _refusal(reading, event, f"stands for more than {MAX_NODES} values")


def _refusal(reading: _Reading, event: yaml.Event, problem: str) -> ConfigInvalid:
    return ConfigInvalid(f"{reading.name} {problem} (line {_line(event)}).")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
