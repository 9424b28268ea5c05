"""Who may be called at all.

Healthy instances; degraded ones too while the healthy are too few for the load; and if
less than half of a service looks fit, everybody, because then the looking is more
likely to be wrong than the service. Source: Envoy (overprovisioning, panic threshold).
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from quorate.core.errors import InvalidInput
from quorate.registry.model import AdminState, ServiceInfo
from quorate.verdict.model import HealthState


@dataclass(frozen=True, slots=True)
class RoutingTerms:
    """When others than the healthy are called.

    `overprovision` is how much more than its share an instance can carry: at 1.4,
    degraded ones join when less than 72 % are healthy. Below `panic_below` (a share of
    the active instances) all are called; 0 switches that off.
    """

    overprovision: float = 1.4
    panic_below: float = 0.5

    def __post_init__(self) -> None:
        if not (1 <= self.overprovision < math.inf and 0 <= self.panic_below <= 1):
            raise InvalidInput(
                f"overprovision={self.overprovision} with panic_below="
                f"{self.panic_below} cannot be used.",
                "The first is at least 1, the second a share from 0 to 1.",
            )


@dataclass(frozen=True, slots=True)
class Routable:
    """Whom to call, and `reserve`: whom else, when all of those have been tried.

    `fit` of `judged` instances look fit; `panic` says that this was ignored.
    """

    services: tuple[ServiceInfo, ...]
    reserve: tuple[ServiceInfo, ...]
    fit: int
    judged: int
    panic: bool


def routable(services: Iterable[ServiceInfo], terms: RoutingTerms) -> Routable:
    """Choose among active instances; draining ones and those in maintenance are out.

    Instances that are still starting are not counted as unfit: adding many at once is
    no reason to panic.
    """
    active = [s for s in services if s.admin_state is AdminState.ACTIVE]
    healthy = _in_state(active, HealthState.HEALTHY)
    degraded = _in_state(active, HealthState.DEGRADED)
    starting = _in_state(active, HealthState.STARTING)
    judged = [s for s in active if s.state is not HealthState.STARTING]
    fit = healthy + degraded
    panic = bool(judged) and len(fit) < terms.panic_below * len(judged)
    if panic:
        chosen = judged
    elif healthy and len(healthy) * terms.overprovision >= len(judged):
        chosen = healthy
    else:
        chosen = fit or _in_state(active, HealthState.UNKNOWN) or starting
    listed = {service.id for service in chosen}
    reserve = sorted(
        (s for s in active if s.id not in listed), key=lambda s: s.state.badness
    )
    return Routable(tuple(chosen), tuple(reserve), len(fit), len(judged), panic)


def _in_state(services: list[ServiceInfo], state: HealthState) -> list[ServiceInfo]:
    return [service for service in services if service.state is state]
