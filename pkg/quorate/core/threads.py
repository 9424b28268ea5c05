"""Plain functions in threads, so that whatever they raise reaches who awaits them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def tellable(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, but a `StopIteration` leaves it as a `RuntimeError`.

    As it does a coroutine (PEP 479). No future can carry one, so before Python 3.12
    whoever awaited the thread would wait for ever.
    """

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except StopIteration as error:
            name = getattr(function, "__qualname__", repr(function))
            raise RuntimeError(f"{name} raised StopIteration") from error

    return told
