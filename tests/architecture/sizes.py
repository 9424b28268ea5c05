"""How big things may be, and what they may not be called.

A file is one idea, a port fits on a hand and a half, and a name that could stand for
anything stands for nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from .tree import Fault, House, dotted, last_word

FILE_LINES = 300
LUA_LINES = 150
FUNCTION_LINES = 60
PORT_METHODS = 6
CONSTRUCTOR_PARAMETERS = 6

ASYNCIO = "asyncio.Protocol"
EMPTY_WORDS = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "shared",
    "stuff",
}
EMPTY_CLASS = re.compile(
    r"^(Base[A-Z]\w*|\w*(Utils?|Helpers?|Impl)|\w*Manager\w*Manager\w*)$"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(house: House) -> Iterator[Fault]:
    """A file has one idea: at most 300 lines, 150 for a script."""
    sizes = [(s.path, len(s.text.splitlines()), FILE_LINES) for s in house.sources]
    sizes += [(p, len(t.splitlines()), LUA_LINES) for p, t in house.lua.items()]
    for path, lines, limit in sizes:
        if lines > limit:
            yield Fault(path, limit, f"the file has {lines} lines; {limit} are allowed")


def functions(house: House) -> Iterator[Fault]:
    """A function is read at one glance: at most 60 lines, its docstring included."""
    for source in house.sources:
        for node in source.nodes():
            if isinstance(node, Function):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    message = f"{node.name} has {lines} lines; {FUNCTION_LINES} allowed"
                    yield Fault(source.path, node.lineno, message)


def ports(house: House) -> Iterator[Fault]:
    """A port has at most six methods; what it only tells (properties) is free."""
    for source in house.sources:
        for node in source.nodes():
            if isinstance(node, ast.ClassDef) and _is_port(node):
                methods = {
                    inner.name
                    for inner in node.body
                    if isinstance(inner, Function)
                    and "property" not in map(last_word, inner.decorator_list)
                }
                if len(methods) > PORT_METHODS:
                    message = (
                        f"{node.name} has {len(methods)} methods; "
                        f"{PORT_METHODS} allowed"
                    )
                    yield Fault(source.path, node.lineno, message)


def constructors(house: House) -> Iterator[Fault]:
    """A constructor has at most six parameters; dataclasses are exempt."""
    for source in house.sources:
        for node in source.nodes():
            if not isinstance(node, ast.ClassDef) or _is_dataclass(node):
                continue
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "__init__":
                    count = _parameters(inner)
                    if count > CONSTRUCTOR_PARAMETERS:
                        message = (
                            f"{node.name} takes {count} parameters; "
                            f"{CONSTRUCTOR_PARAMETERS} allowed: group them"
                        )
                        yield Fault(source.path, inner.lineno, message)


def names(house: House) -> Iterator[Fault]:
    """Nothing is called utils, helpers, common, base, Impl or a manager of managers."""
    for path in [source.path for source in house.sources] + list(house.lua):
        for word in PurePosixPath(path).with_suffix("").parts:
            if word in EMPTY_WORDS or word.startswith("base_") or word == "base":
                yield Fault(path, 1, f"{word} says nothing: name the idea")
    for source in house.sources:
        for node in source.nodes():
            if isinstance(node, ast.ClassDef) and EMPTY_CLASS.match(node.name):
                message = f"{node.name} says nothing: name the idea"
                yield Fault(source.path, node.lineno, message)


def _is_port(node: ast.ClassDef) -> bool:
    """A `typing.Protocol`; asyncio's class of that name is something else."""
    words = {last_word(base) for base in node.bases if dotted(base) != ASYNCIO}
    return "Protocol" in words


def _is_dataclass(node: ast.ClassDef) -> bool:
    return "dataclass" in map(last_word, node.decorator_list)


def _parameters(function: Function) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len(named) - 1 + sum(1 for many in (given.vararg, given.kwarg) if many)


RULES = (files, functions, ports, constructors, names)
