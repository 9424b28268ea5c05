"""Names with holes: `"user:{user_id}"`, filled from the arguments of a call.

A template is checked against the function's signature when the function is decorated,
so a misspelt hole is found at import and not under load. Pure.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidName
from .names import check_name

_LONGEST_HEAD = 100
_NOT_FILLABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class _Hole:
    """One argument, and the attributes to follow from it."""

    shown: str
    parameter: inspect.Parameter
    index: int | None
    attributes: tuple[str, ...]
    what: str

    def text(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        if self.index is not None and self.index < len(args):
            value = args[self.index]
        else:
            value = kwargs.get(self.parameter.name, self.parameter.default)
        for attribute in self.attributes:
            try:
                value = getattr(value, attribute)
            except AttributeError as error:
                raise InvalidName(
                    f"The {self.what} name cannot be made: "
                    f"{{{self.shown}}} has no value.",
                    str(error),
                    f"Pass an object that has .{'.'.join(self.attributes)}.",
                ) from error
        return _text(value, self.shown, self.what)


class NameTemplate:
    """The names that one template makes of the calls of one function.

    `{user_id}` is a parameter by name, `{0}` by position, `{order.id}` an attribute of
    one; `{{` and `}}` are braces. Raises `InvalidName` for anything else.
    """

    def __init__(
        self, text: str, signature: inspect.Signature, of: str, what: str = "lock"
    ) -> None:
        if not isinstance(text, str):
            raise InvalidName(f"A {what} name must be text, not {type(text).__name__}.")
        self.text = text
        self._what = what
        self._signature = signature
        self._of = of
        self._parts: tuple[str | _Hole, ...] = tuple(self._compile())
        if not any(isinstance(part, _Hole) for part in self._parts):
            check_name("".join(str(part) for part in self._parts), what)

    def fill(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The name for this call. Different texts never become the same name.

        A text that cannot be a name as it is (control characters, over 255 bytes) is
        cut and gets a digest. Raises `TypeError` for arguments that the function does
        not take, `InvalidName` for a value that has no text of its own.
        """
        for part in self._parts:
            if isinstance(part, _Hole) and not _is_given(part, args, kwargs):
                self._signature.bind(*args, **kwargs)
        return usable(
            "".join(
                part if isinstance(part, str) else part.text(args, kwargs)
                for part in self._parts
            ),
            self._what,
        )

    def _compile(self) -> list[str | _Hole]:
        parts: list[str | _Hole] = []
        try:
            pieces = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise self._refused(str(error)) from error
        for literal, field, spec, conversion in pieces:
            if literal:
                parts.append(literal)
            if field is None:
                continue
            if spec or conversion:
                raise self._refused(f"{{{field}}} has a format; only the value counts.")
            parts.append(self._hole(field))
        return parts

    def _hole(self, field: str) -> _Hole:
        first, *attributes = field.split(".")
        for attribute in attributes:
            if not attribute.isidentifier() or attribute.startswith("_"):
                raise self._refused(f"{{{field}}} is not a plain attribute.")
        parameters = list(self._signature.parameters.values())
        if first.isdigit() and int(first) < len(parameters):
            parameter = parameters[int(first)]
        elif first in self._signature.parameters:
            parameter = self._signature.parameters[first]
        else:
            names = [parameter.name for parameter in parameters]
            near = difflib.get_close_matches(first, names, n=1)
            meant = f" Did you mean {{{near[0]}}}?" if near else ""
            raise self._refused(
                f"{self._of} has no parameter {first!r}.{meant} "
                f"It has {', '.join(names) or 'none'}."
            )
        if parameter.kind in _NOT_FILLABLE:
            raise self._refused(f"{{{field}}} stands for many arguments, not for one.")
        index: int | None = parameters.index(parameter)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            index = None
        return _Hole(field, parameter, index, tuple(attributes), self._what)

    def _refused(self, why: str) -> InvalidName:
        return InvalidName(
            f"The {self._what} name {self.text[:60]!a} cannot be filled.",
            why,
            "Write parameters in braces, such as 'user:{user_id}' or '{order.id}'.",
        )


def usable(text: str, what: str = "lock") -> str:
    """`text` if it can be a name, else its beginning and its digest."""
    try:
        return check_name(text, what)
    except InvalidName:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    head = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return f"{head[:_LONGEST_HEAD].lstrip()}%~{digest}"


def _is_given(hole: _Hole, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return (
        (hole.index is not None and hole.index < len(args))
        or hole.parameter.name in kwargs
        or hole.parameter.default is not inspect.Parameter.empty
    )


def _text(value: object, shown: str, what: str) -> str:
    if isinstance(value, str):
        return value
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        raise InvalidName(
            f"{{{shown}}} is a {kind.__name__}, which has no text of its own.",
            f"Its address in memory would be the {what}'s name, and nobody else's.",
            f"Name what tells it apart, such as {{{shown}.id}}.",
        )
    return str(value)
