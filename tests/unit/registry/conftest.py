"""Instances and snapshots as the tests need them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quorate.registry.model import ServiceInfo, Snapshot
from quorate.verdict.model import HealthState, HealthStatus

Make = Callable[..., ServiceInfo]


@pytest.fixture
def an_instance() -> Make:
    """`an_instance("a", HealthState.HEALTHY, weight=5)`."""

    def make(
        instance_id: str = "a",
        state: HealthState = HealthState.HEALTHY,
        **fields: object,
    ) -> ServiceInfo:
        fields = {
            "name": "reports",
            "endpoint": f"http://10.0.0.1:{8000 + sum(map(ord, instance_id)) % 999}",
            "health": HealthStatus(state),
            **fields,
        }
        return ServiceInfo(id=instance_id, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def a_snapshot(an_instance: Make) -> Callable[..., Snapshot]:
    """`a_snapshot("a", "b")` of healthy instances, or of instances as they are."""

    def make(*instances: str | ServiceInfo, **fields: object) -> Snapshot:
        made = [an_instance(i) if isinstance(i, str) else i for i in instances]
        return Snapshot.of("reports", made, **fields)  # type: ignore[arg-type]

    return make
