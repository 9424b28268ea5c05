"""What the engine needs of the others: small protocols that they fit already."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from .view import Dependency


class Office(Protocol):
    """The lock that makes one process the writer."""

    @property
    def token(self) -> int: ...

    def check(self) -> None:
        """Raise `LockLostError` if the office is lost."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored mode and who set it; the stored level, and who set that."""

    value: bool
    author: str
    level: str = ""
    level_author: str = ""


class Hands(Protocol):
    """How the engine looks and acts. `node.py` makes it of the capabilities."""

    def dependencies(self) -> tuple[Dependency, ...]:
        """Every check of this process, as it stands."""
        ...

    def office(self) -> AbstractAsyncContextManager[Office]:
        """Wait until this process is the writer, and be it for the block."""
        ...

    async def stored(self) -> Stored:
        """`service.degraded_mode` and `.degraded_level` as the store has them."""
        ...

    async def store(self, values: dict[str, object], comment: str) -> int:
        """Write these keys as one change, and return its revision."""
        ...

    async def shed_level(self) -> int | None:
        """How many lanes are shed now; None where there is no queue."""
        ...

    async def shed(self, level: int) -> None:
        """Shed so many of the lowest lanes in every worker."""
        ...


Wake = Callable[[], None]
"""Let the engine look again now."""
