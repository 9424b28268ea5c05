"""What RabbitMQ alone cannot do, said where it is asked for.

Satisfies `Results` and `QueueAdmin`: each call raises `MissingCapability` with the way
out, and no call pretends.
"""

from __future__ import annotations

from typing import NoReturn

from quorate.queue.capabilities import Capability, lacking
from quorate.queue.guards import Rate
from quorate.queue.ports import Audit, Found
from quorate.queue.views import Explanation


class NoResults:
    """The broker forgets a task when it is done."""

    async def find(self, task_id: str, *, tell: str = "") -> Found:
        raise lacking(Capability.RESULTS)


class NoAdmin:
    """There is nothing that all workers look at."""

    async def pause(self, *, paused: bool, task: str = "") -> None:
        self._refuse(Capability.PAUSE)

    async def limit(self, rate: Rate | None, *, task: str = "") -> None:
        self._refuse(Capability.GUARDS)

    async def shed(self, level: int) -> int:
        self._refuse(Capability.PAUSE)

    async def audit(self) -> Audit:
        self._refuse(Capability.AUDIT)

    async def explain(self, task_id: str) -> Explanation | None:
        self._refuse(Capability.EXPLAIN)

    def _refuse(self, capability: Capability) -> NoReturn:
        raise lacking(capability)
