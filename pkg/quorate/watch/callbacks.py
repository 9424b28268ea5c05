"""Users' functions that want to be called, kept from harming anybody.

Each callback, plain or async, has its own bounded queue and its own task: it gets its
calls in order, one at a time, each with a time limit. One that raises, hangs or lags
becomes an event and disturbs neither the caller nor the other callbacks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec

from quorate.core.errors import InvalidInput
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Tasks

from .events import CallbackFailed, CallbackLagged

P = ParamSpec("P")

WAITING_MAX = 64
TIME_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class CallbackStats:
    """Counts since the start, and the callbacks there are now."""

    callbacks: int
    called: int
    failed: int
    dropped: int


@dataclass(slots=True, eq=False)
class _Listener:
    call: Callable[..., object]
    name: str
    waiting: deque[Callable[[], object]] = field(default_factory=deque)
    at_work: bool = False
    lagging: bool = False


class Callbacks(Generic[P]):
    """The callbacks of one watch; `watch` names it in events.

    `time_limit_s` bounds one call of an async callback. A plain function cannot be
    interrupted: it must be quick, like everything that runs on the event loop.
    """

    def __init__(
        self, watch: str, emit: Emit = silent, time_limit_s: float = TIME_LIMIT_S
    ) -> None:
        self._watch = watch
        self._emit = emit
        self._time_limit_s = time_limit_s
        self._tasks = Tasks(emit)
        self._listeners: list[_Listener] = []
        self._called = self._failed = self._dropped = 0

    def add(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Call `callback` from now on. Returns the function that ends it.

        The same callback may be added twice and is then called twice.
        """
        if not callable(callback):
            raise InvalidInput(
                f"{callback!r} cannot be called.",
                f"The {self._watch} needs a function, plain or async.",
            )
        name = getattr(callback, "__qualname__", type(callback).__qualname__)
        listener = _Listener(callback, name)
        self._listeners.append(listener)

        def leave() -> None:
            listener.waiting.clear()
            if listener in self._listeners:
                self._listeners.remove(listener)

        return leave

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all callbacks soon, in tasks of their own. Never waits, never raises."""
        for listener in tuple(self._listeners):
            if len(listener.waiting) >= WAITING_MAX:
                listener.waiting.popleft()
                self._lagged(listener)
            listener.waiting.append(_bound(listener.call, args, kwargs))
            if not listener.at_work:
                listener.at_work = True
                self._tasks.spawn(self._work(listener), f"callback {listener.name}")

    async def settled(self, within_s: float) -> bool:
        """Wait until all calls are made; False if `within_s` seconds ran out."""
        return await self._tasks.drain(within_s)

    async def stop(self) -> None:
        """Stop the calls under way and forget those that wait. The callbacks stay."""
        tasks, self._tasks = self._tasks, Tasks(self._emit)
        for listener in self._listeners:
            listener.waiting.clear()
        await tasks.close()

    def stats(self) -> CallbackStats:
        """How many calls were made, failed and were dropped."""
        return CallbackStats(
            len(self._listeners), self._called, self._failed, self._dropped
        )

    async def _work(self, listener: _Listener) -> None:
        try:
            while listener.waiting:
                await self._call(listener, listener.waiting.popleft())
            listener.lagging = False
        finally:
            listener.at_work = False

    async def _call(self, listener: _Listener, call: Callable[[], object]) -> None:
        self._called += 1
        limit = asyncio.timeout(self._time_limit_s)
        try:
            async with limit:
                result = call()
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            self._failed += 1
            what = f"{type(error).__name__}: {error}"
            if limit.expired():
                what = f"took longer than {self._time_limit_s} s"
            self._emit(
                CallbackFailed(watch=self._watch, callback=listener.name, error=what)
            )

    def _lagged(self, listener: _Listener) -> None:
        self._dropped += 1
        if not listener.lagging:
            listener.lagging = True
            self._emit(CallbackLagged(watch=self._watch, callback=listener.name))


def _bound(
    call: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[], object]:
    return lambda: call(*args, **kwargs)
