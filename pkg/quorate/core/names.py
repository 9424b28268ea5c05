"""What a name may be: of a lock, a queue, a service, a task, a key.

One rule for all of them, checked at every door before any work is done.
"""

from __future__ import annotations

import unicodedata

from .errors import InvalidName

MAX_NAME_BYTES = 255


def check_name(name: object, what: str) -> str:
    """The name itself, if it can be used; `what` says whose name it is.

    Refused: no text, empty, over 255 bytes, control characters, leading or trailing
    space, text that is not in Unicode's composed form (NFC), lone surrogates.
    """
    if (
        isinstance(name, str)
        and name.isascii()
        and name.isprintable()
        and 0 < len(name) <= MAX_NAME_BYTES
        and name[0] != " " != name[-1]
    ):
        return name  # The usual case; what follows also says what is wrong.
    fix = f"Give the {what} a short printable name, such as 'orders' or 'user:42'."
    if not isinstance(name, str):
        raise InvalidName(
            f"A {what} name must be text, not {type(name).__name__}.", fix=fix
        )
    if not name:
        raise InvalidName(f"The {what} name is empty.", fix=fix)
    shown = ascii(name if len(name) <= 60 else name[:57] + "...")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidName(
            f"The {what} name {shown} is not valid Unicode.", str(error), fix
        ) from error
    if size > MAX_NAME_BYTES:
        raise InvalidName(
            f"The {what} name {shown} is too long.",
            f"It has {size} bytes; {MAX_NAME_BYTES} are allowed.",
            fix,
        )
    if any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in name):
        raise InvalidName(
            f"The {what} name {shown} has control characters in it.", fix=fix
        )
    if name != name.strip():
        raise InvalidName(
            f"The {what} name {shown} begins or ends with a space.", fix=fix
        )
    if name != unicodedata.normalize("NFC", name):
        raise InvalidName(
            f"The {what} name {shown} is not in composed form.",
            "Two spellings that look alike would be two names.",
            "Normalise it first: unicodedata.normalize('NFC', name).",
        )
    return name
