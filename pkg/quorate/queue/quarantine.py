"""A task whose worker died under it runs alone next time.

Otherwise one task that kills its process would take the blame to its neighbours: all of
them would have a crash on their record, and after three such deaths all would be set
aside. So the worker keeps one suspect and gives the others back, claims nothing, waits
until its other tasks are done, marks the suspect as begun and runs it by itself for a
while.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import StoreError

from .decide import after_release
from .desk import Desk
from .model import Lease
from .ports import Finished
from .running import Running

ALONE_S = 10.0
"""Who survives so long alone may have company again."""

PATIENCE_S = 10.0
ELSEWHERE_S = 5.0
"""If the others do not end, the suspect goes back and tries its luck elsewhere."""

LOOK_S = 0.5
IDLE_S = 3600.0


class Quarantine:
    """A role: one suspect waits here, and then runs alone."""

    name = "quarantine"

    def __init__(
        self, desk: Desk, running: Running, finished: Callable[[Finished], None]
    ) -> None:
        self._desk = desk
        self._running = running
        self._finished = finished
        self._waiting: Lease | None = None
        self._alone: Lease | None = None
        self._beginning: Lease | None = None
        self._since = 0.0
        self.is_clear: Callable[[], bool] = lambda: True
        self.on_clear: Callable[[], None] = lambda: None
        self.wake: Callable[[], None] = lambda: None

    @property
    def is_closed(self) -> bool:
        """Nothing may be claimed now."""
        return self._waiting is not None or self._alone is not None

    @property
    def ids(self) -> tuple[str, ...]:
        """The suspect that waits, or is about to begin."""
        found = (self._waiting, self._beginning)
        return tuple(lease.id for lease in found if lease is not None)

    def receive(self, lease: Lease) -> None:
        """Take in a task with a crash on its record, or give it back if one is here."""
        if self.is_closed:
            self._finished(Finished(lease, after_release(lease)))
            return
        self._waiting, self._since = lease, self._desk.clock.monotonic()
        self.wake()

    def release(self, session: str | None = None) -> None:
        """Give back who waits; or forget it, if `session` was lost and owned it."""
        lease = self._waiting or self._beginning
        if lease is None or session not in (None, lease.session):
            return
        self._waiting = self._beginning = None
        if session is None:
            self._finished(Finished(lease, after_release(lease)))

    async def tick(self) -> float:
        """Let the suspect run when everybody else is done."""
        now = self._desk.clock.monotonic()
        if self._alone is not None:
            is_over = self._alone.id not in self._running.ids
            if not is_over and now - self._since < ALONE_S:
                return LOOK_S
            self._alone = None
            self.on_clear()
        lease = self._waiting
        if lease is None:
            return IDLE_S
        if not len(self._running) and self.is_clear():
            self._waiting = None
            await self._begin(lease)
        elif now - self._since > PATIENCE_S:
            self._waiting = None
            self._finished(Finished(lease, after_release(lease, ELSEWHERE_S)))
        return LOOK_S

    async def _begin(self, lease: Lease) -> None:
        """Mark it as begun and run it, unless it was released meanwhile."""
        self._alone = self._beginning = lease
        self._since = self._desk.clock.monotonic()
        try:
            is_ours = await self._desk.claims.begin(lease)
        except StoreError:
            # Whether it is marked is not known; asking again does no harm.
            self._alone, self._waiting = None, self._beginning
            raise
        finally:
            still_here, self._beginning = self._beginning is lease, None
        if is_ours and still_here:
            self._running.admit(lease)
        else:
            self._alone = None
            self.on_clear()
