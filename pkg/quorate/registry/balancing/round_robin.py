"""Everybody in turn.

The round begins anywhere, so that many clients that start together do not all call the
same instance first, and it goes on where it stood when the list changes: the place is
remembered as an id, not as a number, so that churn favours nobody. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

from quorate.registry.model import ServiceInfo

from .records import Memory


class RoundRobinPicker:
    """In the order of ids, each once a round; weights make no difference."""

    def __init__(self, services: Sequence[ServiceInfo], memory: Memory) -> None:
        self._services = tuple(sorted(services, key=lambda service: service.id))
        self._memory = memory
        self._next = self._start()

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        count = len(self._services)
        for step in range(count):
            place = (self._next + step) % count
            service = self._services[place]
            if service.id not in exclude:
                self._next = place + 1
                self._memory.last_turn = service.id
                return service
        return None

    def _start(self) -> int:
        last = self._memory.last_turn
        if last is None:
            return int(self._memory.chance.random() * len(self._services))
        return bisect_right(self._services, last, key=lambda service: service.id)
