"""In turn, but as often as the weights say, and never in clumps.

With weights 5, 1, 1 the order is a a b a c a a. Each pick gives every instance its
weight as credit, takes the richest, and charges it the sum of all weights. Source:
nginx, `ngx_http_upstream_round_robin` ("smooth weighted round robin"). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quorate.registry.model import ServiceInfo

from .records import Memory, Record


class SmoothWeightedPicker:
    """Exact within each round of sum(weights) picks. Costs O(instances) a pick."""

    def __init__(self, services: Sequence[ServiceInfo], memory: Memory) -> None:
        self._places = tuple(
            (service, memory.record(service.id))
            for service in sorted(services, key=lambda service: service.id)
        )

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        total = 0
        chosen: tuple[ServiceInfo, Record] | None = None
        for place in self._places:
            service, record = place
            if service.id in exclude:
                continue
            record.turn += service.weight
            total += service.weight
            if chosen is None or record.turn > chosen[1].turn:
                chosen = place
        if chosen is None:
            return None
        chosen[1].turn -= total
        return chosen[0]
