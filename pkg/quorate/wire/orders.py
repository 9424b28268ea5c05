"""How a command is to be sent, and how many were. Pure."""

from __future__ import annotations

from dataclasses import dataclass


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
