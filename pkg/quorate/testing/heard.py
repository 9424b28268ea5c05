"""Waiting for a fact instead of sleeping.

`Heard` is an `Emit` that remembers. A test hands it to what it tests, acts, and awaits
the event that must follow; if the event does not come, the error lists what came
instead. Events may be told from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import fields
from typing import TypeVar

from quorate.core.events import Event

E = TypeVar("E", bound=Event)

REMEMBERED = 100_000
_SHOWN = 20


class Heard:
    """Hears events through `heard.emit`, and waits for one when it is called.

    `await heard(LockLost, within_s=5, lock="a")` gives each event out once, so asking
    the same again waits for the next. `all` and `count` see every one.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._fresh: deque[Event] = deque(maxlen=REMEMBERED)
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def emit(self, event: Event) -> None:
        """Remember a fact and wake who waits for one. Satisfies `Emit`."""
        with self._gate:
            self._events.append(event)
            self._fresh.append(event)
            waiting = tuple(self._waiting)
        for loop, bell in waiting:
            with contextlib.suppress(RuntimeError):  # that loop has just been closed
                loop.call_soon_threadsafe(bell.set)

    async def __call__(
        self, kind: type[E], *, within_s: float = 5.0, **facts: object
    ) -> E:
        """The next event of `kind` with these facts, whether it has come or is to come.

        A fact may be a value or a function that says yes: `held_s=lambda s: s > 2`.
        Raises `AssertionError`, naming what was heard instead, after `within_s`.
        """
        _check(kind, facts)
        place = (asyncio.get_running_loop(), asyncio.Event())
        with self._gate:
            self._waiting.add(place)
        try:
            async with asyncio.timeout(within_s):
                while (found := self._take(kind, facts)) is None:
                    await place[1].wait()
                    place[1].clear()
            return found
        except TimeoutError:
            raise AssertionError(self._instead(kind, facts, within_s)) from None
        finally:
            with self._gate:
                self._waiting.discard(place)

    def all(self, kind: type[E], **facts: object) -> list[E]:
        """Every event of `kind` with these facts so far, in order."""
        _check(kind, facts)
        with self._gate:
            events = tuple(self._events)
        return [e for e in events if isinstance(e, kind) and _has(e, facts)]

    def count(self, kind: type[Event], **facts: object) -> int:
        """How many events of `kind` with these facts were heard so far."""
        return len(self.all(kind, **facts))

    def clear(self) -> None:
        """Forget everything heard so far."""
        with self._gate:
            self._events.clear()
            self._fresh.clear()

    def _take(self, kind: type[E], facts: dict[str, object]) -> E | None:
        with self._gate:
            for event in self._fresh:
                if isinstance(event, kind) and _has(event, facts):
                    self._fresh.remove(event)
                    return event
        return None

    def _instead(
        self, kind: type[Event], facts: dict[str, object], within_s: float
    ) -> str:
        wanted = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        with self._gate:
            last = list(self._events)[-_SHOWN:]
        lines = "".join(f"\n  {event!r}" for event in last) or "\n  nothing at all"
        return (
            f"{kind.__name__}({wanted}) was not heard within {within_s:g} s. "
            f"Heard, the last at the end:{lines}"
        )


def _check(kind: type[Event], facts: dict[str, object]) -> None:
    """A misspelt fact would wait for ever."""
    known = {field.name for field in fields(kind)}
    if unknown := facts.keys() - known:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")


def _has(event: Event, facts: dict[str, object]) -> bool:
    for name, wanted in facts.items():
        value = getattr(event, name)
        if callable(wanted):
            if not wanted(value):
                return False
        elif value != wanted:
            return False
    return True
