"""Environment variables as configuration: a mapping is handed in.

`<PREFIX>A__B` is the key `a.b`. Short names, such as REDIS_URL, stand for the keys that
are given with them, and are weaker. Every value is text whose type is still open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quorate.config.model import Loaded
from quorate.config.tree import Tree, check_key, with_value
from quorate.core.errors import InvalidName
from quorate.core.scalars import Untyped

SEPARATOR = "__"

ShortNames = Mapping[str, Iterable[str]]
"""Variable → the keys for which it stands."""


def read_variables(
    environ: Mapping[str, str], prefix: str, short_names: ShortNames
) -> Loaded:
    """What the variables say. One that is empty counts as not set."""
    tree: Tree = {}
    places: dict[str, str] = {}
    for key, variable in _named(environ, prefix, short_names):
        tree = with_value(tree, key, Untyped(environ[variable]))
        places[key] = variable
    return Loaded(tree, "", places)


def _named(
    environ: Mapping[str, str], prefix: str, short_names: ShortNames
) -> Iterator[tuple[str, str]]:
    for variable, keys in short_names.items():
        if environ.get(variable):
            yield from ((key, variable) for key in keys)
    for variable in sorted(environ):
        bare = variable.removeprefix(prefix)
        if bare == variable or SEPARATOR not in bare or not environ[variable]:
            continue
        key = bare.lower().replace(SEPARATOR, ".")
        try:
            yield check_key(key), variable
        except InvalidName:
            continue
