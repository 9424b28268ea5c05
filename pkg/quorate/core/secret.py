"""Text that must not be seen by accident, marked by its type. Pure.

Shown, formatted, logged or put into a message, a secret is a row of stars. It refuses
to be pickled, and JSON does not know it. Only `reveal()` gives the text, so that every
place that sees a secret can be found by that one word.
"""

from __future__ import annotations

import hmac
import re
from typing import NoReturn, SupportsIndex, TypeVar

MASK = "****"

_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)(?P<who>.*)@")
_TELLING = re.compile(
    r"(?P<name>[?&][^=&#]*(?:pass|secret|token|key)[^=&#]*=)[^&#]*", re.IGNORECASE
)

S = TypeVar("S", bound="Secret")


class Secret:
    """A password, a token, a key. Empty is falsy. Equal secrets compare equal."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Do not store, log or send what you get."""
        return self._text

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self: S) -> S:
        return self

    def __deepcopy__(self: S, _memo: object) -> S:
        return self

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A Secret is not pickled; pass the name of where it is kept.")


class SecretUrl(Secret):
    """An address that may hold a password: shown without it."""

    __slots__ = ()

    def __str__(self) -> str:
        return masked_url(self._text)


def masked_url(url: str) -> str:
    """`url` with the password, and parameters that sound like secrets, as stars."""
    if "://" not in url:
        return MASK if "@" in url else url

    def hide(found: re.Match[str]) -> str:
        user, colon, _ = found["who"].partition(":")
        if found["scheme"] == "consul://":
            # There is no user: who comes before the host is the token.
            user, colon = MASK, ""
        return f"{found['scheme']}{user}{colon and ':' + MASK}@"

    return _TELLING.sub(rf"\g<name>{MASK}", _CREDENTIALS.sub(hide, url))
