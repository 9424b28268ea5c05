"""Reads the settings: a file if there is one, then the environment, validated whole.

The only place that reads the process's environment. Every fault is listed at once, with
where it was written, and then nothing is started; secrets never show in a fault.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from quorate.core.codec import Json
from quorate.core.errors import ConfigInvalid, InvalidSettings
from quorate.core.interpolate import interpolate_tree
from quorate.core.scalars import Untyped
from quorate.core.shape import Fault, build

from .environment import CONFIG_PATH, Given, given
from .tree import Settings, contradictions


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    tree: dict[str, Json]
    lines: Mapping[str, int]
    faults: tuple[Fault, ...] = ()


def load_settings(
    path: str | Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings from the file at `path` (YAML, TOML or JSON) and the environment.

    Without `path` the variable CONFIG_PATH may name the file; without both there are
    defaults and variables. Raises `InvalidSettings`, whose `faults` lists all of them.
    """
    environ = process_environment() if environ is None else environ
    path = path or environ.get(CONFIG_PATH) or None
    file = _read(Path(path), environ) if path else _File("", {}, {})
    variables, faults = given(environ)
    tree, where = _overlaid(file, variables)
    settings, unfit = build(Settings, tree, lambda key: _where(key, where))
    faults = (*file.faults, *faults, *unfit)
    wrong = {fault.path for fault in faults}
    for fault in contradictions(settings):
        if not wrong & {fault.path, *fault.beside}:
            faults = (*faults, replace(fault, where=_where(fault.path, where)))
    if faults:
        raise _refusal(file.name, faults)
    return settings


def process_environment() -> Mapping[str, str]:
    """The environment of this process, as it is now."""
    return dict(os.environ)


def _read(path: Path, environ: Mapping[str, str]) -> _File:
    # Imported here: the room `config` opens with its door, which knows the settings.
    from quorate.config.formats import format_of, parse

    try:
        data = _bytes_of(path)
        parsed = parse(data, format_of(path.name), path.name)
    except OSError as error:
        raise InvalidSettings(
            f"The settings in {path} cannot be read; nothing was started.",
            error.strerror or str(error),
            "Check the path, and that this user may read it.",
        ) from error
    except ConfigInvalid as error:
        raise InvalidSettings(
            f"{error.what} Nothing was started.", error.why, error.fix
        ) from error
    tree, unfilled = interpolate_tree(parsed.tree, environ)
    faults = tuple(
        Fault(place.path, f"cannot be filled: {place.problem}", path.name)
        for place in unfilled
    )
    return _File(path.name, tree, parsed.lines, faults)


def _bytes_of(path: Path) -> bytes:
    """What is in the file. A pipe or a device would never end: it is refused."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigInvalid(f"{path} is not a file.")
    return path.read_bytes()


def _overlaid(
    file: _File, variables: Iterable[Given]
) -> tuple[dict[str, Json], dict[str, str]]:
    """The file's tree under the variables, and where each value was written."""
    tree = file.tree
    where = {key: f"{file.name} line {line}" for key, line in file.lines.items()}
    for fault in file.faults:
        tree = _without(tree, fault.path)
    for one in variables:
        tree = _with(tree, one.path.split("."), Untyped(one.text))
        where[one.path] = f"from {one.variable}"
    return tree, where


def _with(tree: Json, parts: list[str], value: Json) -> dict[str, Json]:
    below = dict(tree) if isinstance(tree, dict) else {}
    first, *rest = parts
    below[first] = _with(below.get(first), rest, value) if rest else value
    return below


def _without(tree: dict[str, Json], path: str) -> dict[str, Json]:
    first, _, rest = path.partition("[")[0].partition(".")
    below = tree.get(first)
    if rest and isinstance(below, dict):
        return {**tree, first: _without(below, rest)}
    return {name: value for name, value in tree.items() if name != first}


def _where(key: str, where: Mapping[str, str]) -> str:
    """Where the value at `key` was written, or the section that holds it."""
    while key:
        if key in where:
            return where[key]
        key = key.rpartition(".")[0]
    return ""


def _refusal(name: str, faults: tuple[Fault, ...]) -> InvalidSettings:
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    subject = f"{name} has" if name else "The settings have"
    return InvalidSettings(
        f"{subject} {count}; nothing was started.",
        "\n  ".join(str(fault).replace("\n", " ") for fault in faults),
    )
