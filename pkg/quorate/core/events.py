"""Facts, in the past tense.

A capability is given `emit`, a plain function, and calls it when something rare and
worth knowing has happened. Logs, metrics, reactions and tests all read the same
events. Frequent counts are not events: they are read from `stats()`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact. Subclasses are frozen, named in the past tense, and hold plain values."""

    level: ClassVar[str] = "info"

    @property
    def name(self) -> str:
        """The dotted name: `LockLost` is `lock.lost`."""
        return event_name(type(self))

    def facts(self) -> dict[str, Any]:
        """The fields as a mapping, in their order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def event_name(kind: type[Event]) -> str:
    """`LockLost` → `lock.lost`, `ConfigSourceFailed` → `config.source_failed`."""
    return _dotted(kind.__name__)


@lru_cache(maxsize=512)
def _dotted(name: str) -> str:
    noun, *rest = _WORDS.sub(" ", name).lower().split()
    return f"{noun}.{'_'.join(rest)}" if rest else noun


Emit = Callable[[Event], None]
"""Tell the world a fact. Never raises, never waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerFailed(Event):
    """Somebody who listens to events raised; the others heard the event anyway."""

    level: ClassVar[str] = "error"
    heard: str
    listener: str
    error: str


def silent(_event: Event) -> None:
    """An `Emit` for who does not care."""


class Announcer:
    """Passes each fact to everybody who asked, in the order in which they asked.

    A listener that raises harms nobody else; its error becomes a `ListenerFailed`.
    Listeners are called in the emitting task, so they must be quick and not wait.
    """

    def __init__(self) -> None:
        self._listeners: list[Emit] = []

    def listen(self, listener: Emit) -> Callable[[], None]:
        """Hear every event from now on. Returns the function that ends it."""
        self._listeners.append(listener)

        def leave() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return leave

    def emit(self, event: Event) -> None:
        """Tell everybody. Satisfies `Emit`."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                if not isinstance(event, ListenerFailed):
                    self.emit(
                        ListenerFailed(
                            heard=event.name,
                            listener=getattr(listener, "__qualname__", repr(listener)),
                            error=f"{type(error).__name__}: {error}",
                        )
                    )
