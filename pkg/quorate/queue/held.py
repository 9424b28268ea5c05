"""Tasks that wait for a service: what a worker must know of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

IsUp = Callable[[str], bool | None]
"""Is this service up? Answers from memory; None while it is not known."""


class HeldTasks(Protocol):
    """The tasks of one queue that wait for services."""

    async def services(self) -> tuple[str, ...]:
        """For which services tasks wait."""
        ...

    async def take_up(self, service: str, most: int) -> int:
        """Put some of them into their lanes; how many. Safe to repeat."""
        ...
