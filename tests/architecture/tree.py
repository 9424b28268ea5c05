"""The house as data: every file of the library, parsed, with what it imports.

The rules are functions from a `House` to faults, so that a test may hand them the real
tree or a planted one. Nothing here imports the library.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGE = "quorate"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One broken rule, and where."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import name`; a library module is always named to its file."""

    line: int
    module: str
    name: str

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def is_ours(self) -> bool:
        return self.top == PACKAGE

    @property
    def room(self) -> str:
        """`locks` of `quorate.locks.redis`; empty for the package itself."""
        return ".".join(self.module.split(".")[1:2])

    @property
    def file(self) -> str:
        """`locks/redis` of `quorate.locks.redis`."""
        return "/".join(self.module.split(".")[1:])


@dataclass(frozen=True)
class Source:
    """One Python file. `path` is relative to the package: `locks/lock.py`."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.path)

    @property
    def room(self) -> str:
        """The folder on top, or the file's own name where it stands on top itself."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def module(self) -> str:
        inside = self.path.removesuffix(".py").removesuffix("__init__").strip("/")
        return ".".join([PACKAGE, *filter(None, inside.split("/"))])

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        is_package = self.path.endswith("__init__.py")
        return self.module if is_package else self.module.rpartition(".")[0]

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)


@dataclass(frozen=True)
class House:
    """Every file of the package, by path."""

    sources: tuple[Source, ...] = field(repr=False)
    lua: Mapping[str, str] = field(repr=False)

    @cached_property
    def modules(self) -> frozenset[str]:
        return frozenset(source.module for source in self.sources)

    def imports(self, source: Source) -> Iterator[Import]:
        """All of them: at the top, inside functions, and for types only."""
        for node in source.nodes():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(node.lineno, alias.name, "")
            elif isinstance(node, ast.ImportFrom):
                base = self._base(source, node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    if inner in self.modules:
                        yield Import(node.lineno, inner, "")
                    else:
                        yield Import(node.lineno, base, alias.name)

    def _base(self, source: Source, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = source.package.split(".")
        above = above[: len(above) - node.level + 1]
        return ".".join([*above, *filter(None, [node.module])])


Rule = Callable[[House], Iterator[Fault]]


def house_at(root: Path) -> House:
    """The package that lies in the folder `root`."""
    return House(
        sources=tuple(
            Source(path.relative_to(root).as_posix(), path.read_text("utf-8"))
            for path in sorted(root.rglob("*.py"))
        ),
        lua={
            path.relative_to(root).as_posix(): path.read_text("utf-8")
            for path in sorted(root.rglob("*.lua"))
        },
    )


def last_word(node: ast.AST | None) -> str:
    """`sleep` of `asyncio.sleep`, `Protocol` of `Protocol[T]`; else empty."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=value):
            return last_word(value)
        case _:
            return ""


def dotted(node: ast.AST | None) -> str:
    """`os.environ` of that expression; empty for anything that is not plain names."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name) if before := dotted(value):
            return f"{before}.{name}"
        case _:
            return ""


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What runs as part of `node`: not the insides of functions defined there."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)
