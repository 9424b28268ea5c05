"""The registry as one process sees it, for people and for metrics."""

from __future__ import annotations

from dataclasses import dataclass

from .balancer import BalancerStats
from .discovery import DiscoveryStats
from .model import ServiceInfo, Snapshot
from .ports import ServiceCount
from .registrar import RegistrarStats
from .sweeping import SweepStats


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """The registry as this process sees it.

    `services` is what the store has, or None while it is away. `own` is announced by
    this process; `followed` is what discovery knows, each with its own age.
    """

    services: tuple[ServiceCount, ...] | None
    own: tuple[ServiceInfo, ...]
    followed: tuple[Snapshot, ...]
    registrar: RegistrarStats
    discovery: DiscoveryStats
    sweep: SweepStats
    balancers: tuple[BalancerStats, ...]

    @property
    def available(self) -> bool:
        """Whether the store answered."""
        return self.services is not None
