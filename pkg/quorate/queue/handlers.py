"""Who does what: handlers by the name of their task.

A handler takes the payload, or the payload and a `TaskContext`. It may be a coroutine
function or a plain one; plain ones run in threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from quorate.core.errors import InvalidInput
from quorate.core.names import check_name

from .aside import runs_aside
from .patience import RetryPolicy
from .references import reference_of

HandlerFunction = Callable[..., object]
"""`handler(payload)` or `handler(payload, context)`; its result must be JSON."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What does the tasks of one name. None takes the configuration's value."""

    name: str
    function: HandlerFunction
    is_async: bool
    takes_context: bool
    timeout_s: float | None = None
    retry: RetryPolicy | None = None
    service: str | None = None
    runs_aside: bool = False


class Handlers:
    """The handlers of a process."""

    def __init__(self) -> None:
        self._by_name: dict[str, Handler] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def add(
        self,
        name: str,
        function: HandlerFunction,
        *,
        timeout_s: float | None = None,
        retry: RetryPolicy | None = None,
        service: str | None = None,
    ) -> Handler:
        """Let `function` do the tasks called `name`.

        Raises `InvalidInput` for something that cannot be called with a payload, or if
        another function does them already.
        """
        check_name(name, "task")
        if timeout_s is not None and not 0 < timeout_s < float("inf"):
            raise InvalidInput(
                f"The handler of {name!r} has a limit of {timeout_s} s.",
                "",
                "Give seconds above 0, or None for the configuration's value.",
            )
        known = self._by_name.get(name)
        if known is not None and known.function is not function:
            raise InvalidInput(
                f"{name!r} has a handler already.",
                f"It is {known.function!r}.",
                "Register each name once.",
            )
        handler = Handler(
            name, function, _is_async(function), _takes_context(name, function),
            timeout_s, retry, service and check_name(service, "service"),
            runs_aside(function),
        )  # fmt: skip
        if handler.runs_aside:
            _check_aside(handler)
        self._by_name[name] = handler
        return handler

    def find(self, name: str) -> Handler | None:
        return self._by_name.get(name)

    def references(self) -> dict[str, str]:
        """Name → `module:qualname`. Raises `InvalidInput` for one that has none."""
        return {
            name: reference_of(handler.function)
            for name, handler in self._by_name.items()
        }


def _check_aside(handler: Handler) -> None:
    reference_of(handler.function)
    if handler.takes_context:
        raise InvalidInput(
            f"The handler of {handler.name!r} cannot run in a process of its own.",
            "It takes a context, which stays with the worker.",
            "Let it take the payload alone.",
        )


def _is_async(function: HandlerFunction) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - its kind, not whether
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _takes_context(name: str, function: HandlerFunction) -> bool:
    if not callable(function):
        raise InvalidInput(
            f"The handler of {name!r} is {function!r}.",
            "It cannot be called.",
            "Give a function that takes the payload.",
        )
    try:
        parameters = tuple(inspect.signature(function).parameters.values())
    except ValueError:
        return False
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    needed = [p for p in positional if p.default is p.empty]
    return len(needed) == 2 or (
        len(positional) >= 2 and positional[1].name == "context"
    )
