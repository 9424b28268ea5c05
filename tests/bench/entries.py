"""Who is measured: one way of doing it, and the environment in which it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One library, used in one way. `home`: "own", or the environment of its peer.

    `module` has a class `Peer` that does what the child program asks of it.
    """

    key: str
    title: str
    module: str
    home: str = "peers"
    distribution: str = ""
    uvloop: bool = True
    options: Mapping[str, float] = field(default_factory=dict)
