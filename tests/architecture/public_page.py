"""The public page: every name in `quorate.__all__` is there and tells its promise."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from types import ModuleType


def unkept_promises(page: ModuleType) -> Iterator[str]:
    """What is wrong with the names that `page` offers."""
    offered = getattr(page, "__all__", None)
    if not offered:
        yield f"{page.__name__} has no __all__"
        return
    for name in offered:
        if offered.count(name) > 1:
            yield f"{name} is offered twice"
        elif not hasattr(page, name):
            yield f"{name} is offered, but is not there"
        elif not is_documented(getattr(page, name)):
            yield f"{name} has no docstring of its own"


def is_documented(thing: object) -> bool:
    """Whether somebody wrote a docstring; one made by a decorator does not count."""
    if inspect.isclass(thing):
        written = thing.__dict__.get("__doc__") or ""
        if issubclass(thing, enum.Enum) and written == enum.Enum.__doc__:
            return False
        return bool(written.strip()) and not written.startswith(f"{thing.__name__}(")
    if inspect.isroutine(thing) or inspect.ismodule(thing):
        return bool((thing.__doc__ or "").strip())
    return True  # a constant or a type alias has no place for a docstring
