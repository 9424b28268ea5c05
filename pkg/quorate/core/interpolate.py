"""Text with `${…}` in it, filled from variables. Pure: the variables are handed in.

    ${VAR}            the variable; an error if it is not set
    ${VAR:-default}   the default if it is not set or empty; may hold `${…}` itself
    ${VAR:?message}   an error with this message if it is not set or empty
    $$                one dollar sign; any other lone `$` stays as it is

The outcome is text; what it stands for is decided later, by the target's type. Only
text from a local file may be filled, never anything that came over a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .codec import Json
from .errors import ConfigInvalid
from .scalars import Untyped

MAX_DEPTH = 10
MAX_CHARS = 64 * 1024
MAX_STEPS = 10_000
"""Limits on the nesting, on the outcome, and on the work that one text may cause."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOW = "Write ${NAME}, ${NAME:-default} or ${NAME:?message}; $$ is a dollar sign."


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A place in a tree whose text could not be filled, and why."""

    path: str
    problem: str


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """`text` with every `${…}` filled. Raises `ConfigInvalid` and never half of it.

    A variable's own value is literal, but for plain `${NAME}` in it; a circle is named
    in the error. Values of variables are never shown in one.
    """
    if "$" not in text:
        return text
    return _Filling(variables).fill(text, ())


def interpolate_tree(
    tree: Json, variables: Mapping[str, str]
) -> tuple[Json, tuple[Unfilled, ...]]:
    """`tree` with every text in it filled, and all places where that failed.

    A text that was filled comes back as `Untyped`. Keys are left alone.
    """
    unfilled: list[Unfilled] = []

    def walk(node: Json, path: str) -> Json:
        if isinstance(node, dict):
            return {
                key: walk(item, f"{path}.{key}" if path else key)
                for key, item in node.items()
            }
        if isinstance(node, list):
            return [walk(item, f"{path}[{i}]") for i, item in enumerate(node)]
        if not isinstance(node, str) or "$" not in node:
            return node
        filling = _Filling(variables)
        try:
            filled = filling.fill(node, ())
        except ConfigInvalid as error:
            unfilled.append(Unfilled(path, _one_line(error)))
            return node
        return Untyped(filled) if filling.steps else filled

    return walk(tree, ""), tuple(unfilled)


def _one_line(error: ConfigInvalid) -> str:
    return " ".join(part for part in (error.what, error.why, error.fix) if part)


class _Filling:
    """One text being filled: what it has cost so far."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._chars = 0
        self.steps = 0

    def fill(self, text: str, chain: tuple[str, ...], depth: int = 0) -> str:
        """`text` as a template, where `$$` is an escape and a broken `${` an error."""
        return "".join(self._template(text, chain, depth))

    def _template(self, text: str, chain: tuple[str, ...], depth: int) -> Iterator[str]:
        self._not_too_deep(chain, depth)
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            yield self._paid(text[at:dollar])
            at = dollar + 2
            following = text[dollar + 1 : at]
            if following == "{":
                end = _closing(text, at)
                if end < 0:
                    raise ConfigInvalid(
                        f"The ${{ at character {dollar + 1} is never closed.", "", _HOW
                    )
                yield from self._reference(text[at:end], chain, depth)
                at = end + 1
            elif following == "$":
                yield self._paid("$")
            else:
                yield self._paid("$")
                at = dollar + 1
        yield self._paid(text[at:])

    def _reference(
        self, body: str, chain: tuple[str, ...], depth: int
    ) -> Iterator[str]:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise ConfigInvalid(f"${{…}} is filled more than {MAX_STEPS} times.")
        found = _NAME.match(body)
        rest = body[found.end() :] if found else body
        if found is None or rest[:2] not in ("", ":-", ":?"):
            raise ConfigInvalid(f"${{{body[:40]}}} cannot be read.", "", _HOW)
        name, operator, operand = found[0], rest[:2], rest[2:]
        value = self._variables.get(name)
        if value is not None and (value or not operator):
            yield from self._variable(name, value, chain, depth)
        elif operator == ":-":
            yield from self._template(operand, chain, depth + 1)
        elif operator == ":?":
            told = self.fill(operand, chain, depth + 1)
            raise ConfigInvalid(f"{name} is not set: {told or 'it is needed'}.")
        else:
            via = f" (needed by {' → '.join(chain)})" if chain else ""
            raise ConfigInvalid(
                f"The variable {name} is not set{via}.",
                "",
                f"Set it, or give a default: ${{{name}:-…}}.",
            )

    def _variable(
        self, name: str, value: str, chain: tuple[str, ...], depth: int
    ) -> Iterator[str]:
        """The value of a variable: literal, but for plain `${NAME}` in it."""
        if name in chain:
            circle = " → ".join((*chain[chain.index(name) :], name))
            raise ConfigInvalid(
                f"The variable {name} refers to itself: {circle}.",
                "",
                "Break the circle by giving one of them a value of its own.",
            )
        chain = (*chain, name)
        self._not_too_deep(chain, depth + 1)
        at = 0
        for found in _PLAIN.finditer(value):
            yield self._paid(value[at : found.start()])
            yield from self._reference(found[1], chain, depth + 1)
            at = found.end()
        yield self._paid(value[at:])

    def _not_too_deep(self, chain: tuple[str, ...], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ConfigInvalid(
                f"${{…}} is nested deeper than {MAX_DEPTH} levels.",
                f"The way there: {' → '.join(chain)}." if chain else "",
            )

    def _paid(self, piece: str) -> str:
        self._chars += len(piece)
        if self._chars > MAX_CHARS:
            raise ConfigInvalid(f"The text grows beyond {MAX_CHARS // 1024} kB.")
        return piece


def _closing(text: str, at: int) -> int:
    """Where the brace that opened before `at` is closed; -1 if it is not."""
    open_braces = 1
    while at < len(text):
        if text.startswith("$$", at):
            at += 2
        elif text.startswith("${", at):
            open_braces += 1
            at += 2
        elif text[at] == "}":
            open_braces -= 1
            if open_braces == 0:
                return at
            at += 1
        else:
            at += 1
    return -1
