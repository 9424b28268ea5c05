"""Which entry has to go when there are too many.

A policy is told of every store, use and removal, and names the next victim. The
shipped ones are least recently used, first in first out, and soonest to expire; a
user's own needs the same four methods. Pure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Protocol

from .deadlines import Deadlines


class EvictionPolicy(Protocol):
    """Chooses victims. One policy object serves one cache."""

    def stored(self, key: str, expires_at: float | None) -> None:
        """`key` was stored, or stored anew; None means that it never expires."""
        ...

    def used(self, key: str) -> None:
        """`key` was found."""
        ...

    def removed(self, key: str) -> None:
        """`key` is gone, for whatever reason."""
        ...

    def victim(self) -> str:
        """The key to give up next. Only asked while there are entries."""
        ...


class LeastRecentlyUsed:
    """LRU: gives up what nobody has wanted for the longest time."""

    def __init__(self) -> None:
        self._order: OrderedDict[str, None] = OrderedDict()

    def stored(self, key: str, expires_at: float | None) -> None:
        self._order[key] = None
        self._order.move_to_end(key)

    def used(self, key: str) -> None:
        self._order.move_to_end(key)

    def removed(self, key: str) -> None:
        del self._order[key]

    def victim(self) -> str:
        return next(iter(self._order))


class FirstInFirstOut:
    """FIFO: gives up what came first, however often it is used or stored anew."""

    def __init__(self) -> None:
        self._order: OrderedDict[str, None] = OrderedDict()

    def stored(self, key: str, expires_at: float | None) -> None:
        self._order.setdefault(key)

    def used(self, key: str) -> None:
        """Use makes no difference."""

    def removed(self, key: str) -> None:
        del self._order[key]

    def victim(self) -> str:
        return next(iter(self._order))


class SoonestToExpire:
    """TTL: gives up what would be gone first anyway; what never expires goes last."""

    def __init__(self) -> None:
        self._deadlines = Deadlines()

    def stored(self, key: str, expires_at: float | None) -> None:
        self._deadlines.set(key, math.inf if expires_at is None else expires_at)

    def used(self, key: str) -> None:
        """Use makes no difference."""

    def removed(self, key: str) -> None:
        self._deadlines.remove(key)

    def victim(self) -> str:
        soonest = self._deadlines.soonest()
        return soonest[1] if soonest else ""
