"""The port of a source: somewhere configuration comes from.

A source is asked for all that it holds (`load`) whenever it says that something may be
new (`watch`), and now and then anyway. It is level-based: a hint that is missed heals
by itself, and a hint for nothing costs one look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from quorate.config.model import Layer, Loaded


class Source(Protocol):
    """A source that users may write themselves."""

    @property
    def name(self) -> str:
        """How it is called in events and explanations; one of a kind in a manager."""
        ...

    @property
    def layer(self) -> Layer:
        """Where it stands."""
        ...

    @property
    def recheck_s(self) -> float:
        """It is looked at so often, in seconds, even without a hint."""
        ...

    async def load(self) -> Loaded:
        """All that it holds now.

        Raises a `QuorateError` or `OSError` if that is nothing usable; what it gave
        last then stays in force.
        """
        ...

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever there may be something new. Runs until cancelled."""
        ...
