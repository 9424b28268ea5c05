"""Every key and every channel of a script lies in one slot of a Cluster.

A script may name what it was given in KEYS, and what it makes of that by appending: a
key's hash tag stands in front. Names are followed through locals, functions and their
parameters. What comes from ARGV or out of the data has no tag that could be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from .tree import Fault, House

KEYLESS = {"TIME"}
HANDED_IN = {
    "queue/redis/scripts/ring.lua": {"channel"},
    "queue/redis/scripts/tell.lua": {"channel"},
}
"""Channels that Python gave with the tag of the queue in front."""

SHARED = PurePosixPath("wire/scripts")
"""Where the loader looks for a fragment that the script's own folder does not have."""

_INCLUDE = re.compile(r"^-- include (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_CALL = re.compile(r"redis\.p?call\(")
_FUNCTION = re.compile(r"\bfunction (\w+)\(([^)]*)\)")
_USE = re.compile(r"(?<!function )\b(\w+)\(")
_LOCAL = re.compile(r"(?:\blocal )?\b((?:\w+, )*\w+) = ([^\n]+)")
_RETURN = re.compile(r"\bfunction (\w+)\([^)]*\)\s+return ([^\n]+?)(?: end)?\n")
_EITHER = re.compile(r".+? and (.+) or (.+)")
_ATOM = re.compile(r"(?:string\.g?sub\()?\s*\(*([A-Za-z_]\w*)")


def slots(house: House) -> Iterator[Fault]:
    """Keys and channels of a script are made of KEYS, so that they lie in one slot."""
    for path, text in house.lua.items():
        code = _COMMENT.sub("", _whole(house, path, text))
        tagged = _tagged(code)
        own = _COMMENT.sub(lambda found: " " * len(found[0]), text)
        for found in _CALL.finditer(own):
            command, *rest = [*_arguments(own, found.end()), ""]
            if command.strip("'") in KEYLESS:
                continue
            if not _atoms(rest[0]) <= tagged | HANDED_IN.get(path, set()):
                line = own.count("\n", 0, found.start()) + 1
                yield Fault(path, line, f"{command} of {rest[0]!r}: not made of KEYS")


def publishing(house: House) -> Iterator[Fault]:
    """A message is sent by redis.call('PUBLISH', …): a Cluster is told SPUBLISH."""
    for path, text in house.lua.items():
        for number, line in enumerate(_COMMENT.sub("", text).splitlines(), 1):
            told = line.replace("redis.call('PUBLISH',", "")
            if "PUBLISH" in told:
                yield Fault(path, number, "PUBLISH that the loader does not know")


def kept_once(house: House) -> Iterator[Fault]:
    """What several rooms need lies in wire/scripts, and nowhere a second time."""
    texts: dict[str, str] = {}
    for path, text in sorted(house.lua.items()):
        folder, name = PurePosixPath(path).parent, PurePosixPath(path).name
        shared = f"{SHARED}/{name}"
        first = texts.setdefault(text, path)
        if folder != SHARED and shared in house.lua:
            yield Fault(path, 1, f"kept also as {shared}")
        elif first != path:
            yield Fault(path, 1, f"kept also as {first}")


def _whole(house: House, path: str, text: str) -> str:
    """The script as the server gets it; a fragment is read with who includes it."""
    inside = _expanded(house, PurePosixPath(path).parent, text)
    users = [
        _expanded(house, folder, other)
        for place, other in house.lua.items()
        if path in _included(house, folder := PurePosixPath(place).parent, other)
    ]
    return "\n".join([inside, *users])


def _place(house: House, folder: PurePosixPath, name: str) -> str:
    own = f"{folder}/{name}.lua"
    return own if own in house.lua else f"{SHARED}/{name}.lua"


def _expanded(house: House, folder: PurePosixPath, text: str, depth: int = 5) -> str:
    def fragment(found: re.Match[str]) -> str:
        inner = house.lua.get(_place(house, folder, found[1]), "")
        return _expanded(house, folder, inner, depth - 1) if depth else ""

    return _INCLUDE.sub(fragment, text)


def _included(house: House, folder: PurePosixPath, text: str) -> set[str]:
    """The paths of what a script includes, and of what that includes."""
    paths, todo = set[str](), _INCLUDE.findall(text)
    while todo:
        place = _place(house, folder, todo.pop())
        if place not in paths:
            paths.add(place)
            todo += _INCLUDE.findall(house.lua.get(place, ""))
    return paths


def _tagged(code: str) -> set[str]:
    """The names of which each value begins with one of KEYS."""
    values: dict[str, set[str]] = {}
    for found in _LOCAL.finditer(code):
        names, exprs = found[1].split(", "), _split(found[2])
        for name, expr in zip(names, exprs, strict=False):
            values.setdefault(name, set()).add(expr)
    for found in _RETURN.finditer(code):
        values.setdefault(found[1], set()).add(found[2])
    calls = _calls(code)
    for found in _FUNCTION.finditer(code):
        function, parameters = found[1], [p.strip() for p in found[2].split(",")]
        for given in calls.get(function, ()):
            for parameter, expr in zip(parameters, given, strict=False):
                values.setdefault(parameter, set()).add(expr)
    atoms = {name: set().union(*map(_atoms, all_)) for name, all_ in values.items()}
    tagged = {"KEYS"} | set(values)
    while True:
        kept = {name for name in tagged if name == "KEYS" or atoms[name] <= tagged}
        if kept == tagged:
            return tagged
        tagged = kept


def _calls(code: str) -> dict[str, set[tuple[str, ...]]]:
    """What each function is given, call by call."""
    functions = {found[1] for found in _FUNCTION.finditer(code)}
    calls: dict[str, set[tuple[str, ...]]] = {}
    for found in _USE.finditer(code):
        if found[1] in functions:
            given = tuple(_arguments(code, found.end()))
            calls.setdefault(found[1], set()).add(given)
    return calls


def _atoms(expr: str) -> set[str]:
    """The names that may stand in front of a value: there the tag comes from."""
    either = _EITHER.fullmatch(expr.strip())
    if either:
        return _atoms(either[1]) | _atoms(either[2])
    found = _ATOM.match(expr.strip())
    return {found[1] if found else ""}


def _arguments(code: str, start: int) -> list[str]:
    """The arguments of the call whose bracket opens right before `start`."""
    depth, at, quoted = 1, start, False
    while depth and at < len(code):
        if code[at] == "'" and code[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(code[at], 0)
        at += 1
    return _split(code[start : at - 1])


def _split(text: str) -> list[str]:
    """`text` at its commas, but not inside of brackets and quotes."""
    parts, depth, quoted, begin = [], 0, False, 0
    for at, sign in enumerate(text):
        if sign == "'" and text[at - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(sign, 0)
            if sign == "," and depth == 0:
                parts.append(text[begin:at].strip())
                begin = at + 1
    return [*parts, text[begin:].strip()]


RULES = (slots, publishing, kept_once)
