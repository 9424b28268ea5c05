"""Environment variables → the settings that they stand for. Pure.

    REDIS_URL, QUEUE_TYPE, …         the owner's short names, on each setting (`env=`)
    QUORATE_QUEUE__CONCURRENCY=8     any setting; stronger than a short name

A variable that is empty counts as not set. One that begins like ours but names no
section is left alone: it may be meant for the application's own configuration.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quorate.core.shape import Described, Fault, describe

from .tree import Settings

PREFIX = "QUORATE_"
SEPARATOR = "__"
CONFIG_PATH = "CONFIG_PATH"
URL = "QUORATE_URL"
LOCKS_URL = "QUORATE_LOCKS_URL"
LOCK = "QUORATE_LOCK"
FENCE = "QUORATE_FENCE"
NO_SETTINGS = frozenset((URL, LOCKS_URL, LOCK, FENCE))
"""What the command `quorate` reads, and tells the commands that it runs."""
NEAR = 0.75

SETTINGS = tuple(describe(Settings))
SECTIONS = tuple(dict.fromkeys(d.path.partition(".")[0] for d in SETTINGS))


@dataclass(frozen=True, slots=True)
class Given:
    """A variable that gives a setting its value."""

    path: str
    text: str
    variable: str


def given(environ: Mapping[str, str]) -> tuple[tuple[Given, ...], tuple[Fault, ...]]:
    """What the variables give, the weaker first, and what is wrong with their names."""
    found: list[Given] = []
    faults: list[Fault] = []
    for described in SETTINGS:
        short, fault = _short(described, environ)
        found += short
        faults += fault
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and environ[variable]:
            path = path_of(variable)
            if variable in NO_SETTINGS:
                continue
            if path.partition(".")[0] in SECTIONS:
                found.append(Given(path, environ[variable], variable))
            else:
                faults += _stranger(variable, path)
    return tuple(found), tuple(faults)


def path_of(variable: str, prefix: str = PREFIX) -> str:
    """`QUORATE_SESSION__TTL_S` → `session.ttl_s`."""
    return variable.removeprefix(prefix).lower().replace(SEPARATOR, ".")


def variable_of(path: str) -> str:
    """`session.ttl_s` → `QUORATE_SESSION__TTL_S`."""
    return PREFIX + path.upper().replace(".", SEPARATOR)


def short_names() -> Mapping[str, tuple[str, ...]]:
    """Each short name, and the settings for which it stands."""
    names: dict[str, tuple[str, ...]] = {}
    for described in SETTINGS:
        for name in described.rule.env:
            names[name] = (*names.get(name, ()), described.path)
    return names


def _short(
    described: Described, environ: Mapping[str, str]
) -> tuple[list[Given], list[Fault]]:
    names = [name for name in described.rule.env if environ.get(name)]
    if len({environ[name] for name in names}) > 1:
        both = " and ".join(names)
        problem = f"is given twice and differently, by {both}; set only one of them."
        return [], [Fault(described.path, problem)]
    return [Given(described.path, environ[n], n) for n in names[:1]], []


def _stranger(variable: str, path: str) -> Iterator[Fault]:
    """A name nearly like one of ours is a mistake; any other is for somebody else."""
    section, _, rest = path.partition(".")
    near = difflib.get_close_matches(section, SECTIONS, n=1, cutoff=NEAR)
    if near:
        wanted = variable_of(f"{near[0]}.{rest}" if rest else near[0])
        yield Fault(variable, f"is not a setting. Did you mean {wanted}?")
