"""Bytes of a file → a tree: YAML, TOML and JSON under one set of limits. Pure.

Whatever the format, the outcome is what JSON can carry, with text as keys, so a value
means the same wherever it came from.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from quorate.core.codec import MAX_INT, Json, decode
from quorate.core.errors import ConfigInvalid, InvalidPayload

from .tree import MAX_PARTS, Tree, nest
from .yaml_core import parse_yaml

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one file."""


class ConfigFormat(Enum):
    """How a configuration file is written."""

    YAML = "yaml"
    TOML = "toml"
    JSON = "json"


_SUFFIXES = {
    ".yaml": ConfigFormat.YAML,
    ".yml": ConfigFormat.YAML,
    ".toml": ConfigFormat.TOML,
    ".json": ConfigFormat.JSON,
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A tree, and the line of each key where the format tells it."""

    tree: Tree
    lines: Mapping[str, int]


def format_of(name: str) -> ConfigFormat:
    """The format that the end of the file's name says. Raises `ConfigInvalid`."""
    suffix = re.search(r"\.[A-Za-z]+\Z", name)
    kind = _SUFFIXES.get(suffix[0].lower()) if suffix else None
    if kind is None:
        raise ConfigInvalid(
            f"The format of {name} is not known.",
            f"Its name ends in none of {', '.join(_SUFFIXES)}.",
            "Rename it, or say which ConfigFormat it has.",
        )
    return kind


def parse(data: bytes, kind: ConfigFormat, name: str) -> Parsed:
    """The tree in `data`; `name` stands in errors. Raises `ConfigInvalid`.

    An empty file is an empty tree.
    """
    if len(data) > MAX_BYTES:
        raise ConfigInvalid(
            f"{name} is too large.",
            f"It has {len(data)} bytes; {MAX_BYTES} are allowed.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{name} is not UTF-8.", str(error)) from error
    lines: Mapping[str, int] = {}
    value: Json
    if kind is ConfigFormat.YAML:
        value, lines = parse_yaml(text, name)
    elif kind is ConfigFormat.TOML:
        value = _toml(text, name)
    else:
        value = _json(text, name)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigInvalid(
            f"{name} does not hold settings.",
            f"At the top it is {type(value).__name__}, not a mapping of names.",
        )
    try:
        return Parsed(nest(value), lines)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{name}: {error.what}", error.why, error.fix) from error


def write_json(tree: Tree) -> bytes:
    """`tree` as JSON text, keys in order: equal trees give equal bytes."""
    return json.dumps(
        tree, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode()


def _json(text: str, name: str) -> Json:
    if not text.strip():
        return {}
    try:
        value = decode(text, f"content of {name}", MAX_BYTES)
    except InvalidPayload as error:
        raise ConfigInvalid(
            f"{name} is not valid JSON.", error.why or error.what
        ) from error
    return _plain(value, name, 0)


def _toml(text: str, name: str) -> Json:
    try:
        return _plain(tomllib.loads(text), name, 0)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{name} is not valid TOML.", str(error)) from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, ConfigInvalid):
            raise
        raise ConfigInvalid(f"{name} is not valid TOML.", str(error)) from error


def _plain(value: Json, name: str, depth: int) -> Json:
    """`value` within the limits; dates and times become text, as in YAML 1.2."""
    if depth > MAX_PARTS:
        raise ConfigInvalid(f"{name} is nested deeper than {MAX_PARTS} levels.")
    if isinstance(value, dict):
        return {key: _plain(item, name, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, name, depth + 1) for item in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigInvalid(f"{name} has {value}, which cannot travel.")
    if isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        raise ConfigInvalid(f"{name} has a number beyond 64 bits.")
    return value
