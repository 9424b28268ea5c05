"""What a piece of text stands for, by the rules of YAML 1.2's core schema.

Text whose target is known is read by the target (`coerce`); plain text in a YAML file
is read by its looks (`resolve`), so that `no` stays a word and `012` is twelve. Text
that has a target which nobody knows yet travels as `Untyped` and ends as text. Pure.

Source: YAML 1.2.2, chapter 10.3, "Core Schema".
"""

from __future__ import annotations

import re
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None

MAX_DIGITS = 40
"""No number needs more; what is longer is text."""

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_YES = frozenset(("true", "yes", "on", "1"))
_NO = frozenset(("false", "no", "off", "0"))
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = frozenset((".nan", ".NaN", ".NAN"))


class Untyped(str):
    """Text from an environment variable or an interpolation: its type is still open."""

    __slots__ = ()


def resolve(text: str) -> Scalar:
    """What plain, unquoted text in a YAML file is."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    number = _number(text)
    return text if number is None else number


def coerce(text: str, kind: type) -> Scalar:
    """`text` as a bool, int, float or str.

    Raises `ValueError` with the end of a sentence that begins with the text. Because
    the target is known, a bool may also be written yes, no, on, off, 1 or 0.
    """
    if kind is str:
        return str(text)
    bare = text.strip()
    if kind is bool:
        if bare.lower() in _YES:
            return True
        if bare.lower() in _NO:
            return False
        raise ValueError("is neither true nor false")
    number = _number(bare)
    if kind is int:
        if isinstance(number, int):
            return number
        raise ValueError("is not a whole number")
    if number is None:
        raise ValueError("is not a number")
    return float(number)


def _number(text: str) -> int | float | None:
    if not text or text[0] not in "+-.0123456789":
        return None
    if len(text) > MAX_DIGITS:
        return None
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float("-inf" if text[0] == "-" else "inf")
    return float("nan") if text in _NAN else None
