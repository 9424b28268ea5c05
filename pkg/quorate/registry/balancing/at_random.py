"""Whoever chance picks, all with the same odds. Pure: chance is handed in."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quorate.registry.model import ServiceInfo

from .picker import without
from .records import Memory


class RandomPicker:
    """Needs no memory and no agreement; uneven over short times."""

    def __init__(self, services: Sequence[ServiceInfo], memory: Memory) -> None:
        self._services = tuple(services)
        self._chance = memory.chance

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        services = without(self._services, exclude)
        if not services:
            return None
        return services[int(self._chance.random() * len(services))]
