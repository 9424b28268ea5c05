"""Tasks that need a service wait while it is down, and nobody runs them in vain.

A worker that claims such a task sets it aside unrun, once an outage: no attempt is
counted, and its lane is free for others. When the service is back, whoever sees it
first puts the tasks into their lanes again, in their order.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import OutcomeUnknown, StoreUnavailable

from .desk import Desk
from .events import TasksHeldBack, TasksTakenUp

LOOK_S = 0.5
ASK_S = 10.0
AT_ONCE = 200


class Usher:
    """A role, one for each queue of a worker that knows how services are."""

    name = "usher"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held: dict[str, bool] = {}
        self._ask_at = 0.0
        self.wake: Callable[[], None] = lambda: None

    def is_away(self, service: str) -> bool:
        """Must a task that needs `service` wait? Tells when the first one does."""
        is_up = self._desk.is_up
        if is_up is None or is_up(service):
            return False
        if not self._held.get(service):
            self._held[service] = True
            self.wake()
            self._desk.emit(TasksHeldBack(queue=self._desk.queue, service=service))
        return True

    async def tick(self) -> float:
        """Take up what waits for services that are up. Asks the server now and then."""
        is_up, held = self._desk.is_up, self._desk.held
        if is_up is None or held is None:
            return ASK_S
        now = self._desk.clock.monotonic()
        try:
            if now >= self._ask_at:
                for service in await held.services():
                    self._held.setdefault(service, False)
                rest_s = ASK_S * self._desk.peers
                self._ask_at = now + rest_s * (0.75 + 0.5 * self._desk.chance.random())
            for service in tuple(self._held):
                if is_up(service):
                    await self._take_up(service)
        except (StoreUnavailable, OutcomeUnknown):
            return LOOK_S
        return LOOK_S if self._held else self._ask_at - now

    async def _take_up(self, service: str) -> None:
        held, total, count = self._desk.held, 0, AT_ONCE
        while held is not None and count == AT_ONCE:
            count = await held.take_up(service, AT_ONCE)
            total += count
        self._held.pop(service, None)
        if total:
            self._desk.emit(
                TasksTakenUp(queue=self._desk.queue, service=service, tasks=total)
            )
