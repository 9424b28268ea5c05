"""How a command is to be sent, and how many were."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """How a command is to be sent. `again`: once more, if its reply was lost."""

    name: str
    again: bool = False
    asking: bool = False


@dataclass(frozen=True, slots=True)
class CallStats:
    """Counts since the start: commands sent, writes they took, connections opened."""

    requests: int
    writes: int
    connections: int
    pending: int


def heeded(future: asyncio.Future[Any]) -> None:
    """A reply that nobody need wait for: what becomes of it is nobody's error."""
    if not future.cancelled():
        future.exception()
