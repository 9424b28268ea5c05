"""The less busy one of two that chance picks.

Two different instances are drawn and the cheaper one is taken: calls under way, by
weight, divided by the share of calls that went well, because what fails fast is never
busy and would otherwise draw all calls to itself. Sources: M. Mitzenmacher, "The Power
of Two Choices in Randomized Load Balancing", 2001; the division by success from
Finagle's and go-zero's peak EWMA. Pure: time and chance are handed in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quorate.registry.model import ServiceInfo

from .picker import without
from .records import Memory


class LeastRequestPicker:
    """Costs the same for ten instances and for a thousand."""

    def __init__(self, services: Sequence[ServiceInfo], memory: Memory) -> None:
        self._services = tuple(services)
        self._memory = memory

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        services = without(self._services, exclude)
        count = len(services)
        if count < 2:
            return services[0] if services else None
        chance = self._memory.chance
        one = int(chance.random() * count)
        other = int(chance.random() * (count - 1))
        if other >= one:
            other += 1
        first, second = services[one], services[other]
        return second if self._cost(second) < self._cost(first) else first

    def _cost(self, service: ServiceInfo) -> float:
        record = self._memory.record(service.id)
        success = record.success(self._memory.now())
        return (record.in_flight + 1) / service.weight / success
