"""A whole function under a lock that its arguments name.

An async function is cancelled when the lock is lost. A plain function runs in a thread,
which nobody can stop: there, loss is a flag (`current_grant().check()`) and an error at
the end, and the lock is given back only when the thread is through.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from quorate.core.errors import InvalidInput, LockNotGranted
from quorate.core.lifecycle import to_the_end
from quorate.core.template import NameTemplate
from quorate.core.threads import tellable

from .lock import Desk, Grant, LockBlock
from .wish import Wish

P = ParamSpec("P")
R = TypeVar("R")

_current: ContextVar[Grant | None] = ContextVar("quorate_grant", default=None)


def current_grant() -> Grant | None:
    """The grant under which the running decorated function acts, also in its thread."""
    return _current.get()


class Locking(Protocol):
    """What `with_lock` returns: the function, to be awaited, under its lock."""

    @overload
    def __call__(
        self, function: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...


class Skipping(Protocol):
    """The same with `skip=True`: the result is None where the lock was taken."""

    @overload
    def __call__(
        self, function: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...

    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...


class Locked:
    """The decorator. `desk` is asked for at the call, so it may open later."""

    def __init__(
        self, desk: Callable[[], Desk], template: str, wish: Wish, *, skip: bool
    ) -> None:
        self._desk = desk
        self._template = template
        self._skip = skip
        wish = dataclasses.replace(wish, template=template)
        self._wish = dataclasses.replace(wish, wait_s=0) if skip else wish

    def __call__(
        self, function: Callable[..., Any], /
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        check_function(function)
        of = getattr(function, "__qualname__", "the function")
        names = NameTemplate(self._template, inspect.signature(function), of)
        open_wish, runs = self._wish, function
        if not inspect.iscoroutinefunction(function):
            open_wish, runs = _for_a_thread(open_wish), _in_a_thread(function)

        @functools.wraps(function)
        async def locked(*args: Any, **kwargs: Any) -> Any:
            wish = dataclasses.replace(open_wish, name=names.fill(args, kwargs))
            async with AsyncExitStack() as stack:
                block = LockBlock(self._desk(), wish)
                try:
                    grant = await stack.enter_async_context(block)
                except LockNotGranted:
                    if self._skip:
                        return None
                    raise
                before = _current.set(grant)
                try:
                    return await runs(*args, **kwargs)
                finally:
                    _current.reset(before)

        return locked


def _in_a_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def runs(*args: Any, **kwargs: Any) -> Any:
        # Whoever is cancelled meanwhile waits, because the thread goes on.
        return await to_the_end(
            asyncio.to_thread(tellable(function), *args, **kwargs), "run under a lock"
        )

    return runs


def _for_a_thread(wish: Wish) -> Wish:
    return (
        dataclasses.replace(wish, on_loss="flag") if wish.on_loss == "cancel" else wish
    )


def check_function(function: Callable[..., object]) -> None:
    """Raises `InvalidInput` for what cannot be run under a lock as a whole."""
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidInput(
            f"{name} is a generator and cannot be locked as a whole.",
            "It would hold the lock while its caller does something else.",
            "Take the lock inside it: async with manager.acquire_lock(…).",
        )
