"""How long this process itself stood still.

An observer whose event loop is blocked sees everything time out. So the time for which
the loop stood still is measured, does not age any verdict, and makes failures that were
seen meanwhile inconclusive. Source: HashiCorp's Lifeguard (arXiv 1707.00788), where a
member that is slow itself doubts what it sees.
"""

from __future__ import annotations

from quorate.core.clock import Clock
from quorate.core.events import Emit, silent

from .events import HealthObserverStalled

BEAT_S = 0.1
TOLERANCE_S = 0.02
WORTH_TELLING_S = 1.0


class LoopLag:
    """A role that ought to run every 100 ms and notices when it does not."""

    name = "lag meter"

    def __init__(self, clock: Clock, emit: Emit = silent) -> None:
        self._clock = clock
        self._emit = emit
        self._due_at: float | None = None
        self._stalled_s = 0.0

    def stalled_s(self) -> float:
        """All the time for which the loop stood still, up to now. Never shrinks."""
        return self._stalled_s + self._late_s()

    def observed(self) -> float:
        """Monotonic time without what was lost: it stands still while the loop does."""
        return self._clock.monotonic() - self.stalled_s()

    async def tick(self) -> float:
        late_s = self._late_s()
        self._stalled_s += late_s
        self._due_at = self._clock.monotonic() + BEAT_S
        if late_s >= WORTH_TELLING_S:
            self._emit(HealthObserverStalled(stalled_s=round(late_s, 3)))
        return BEAT_S

    def rest(self) -> None:
        """Nobody ticks any more: what passes from now on is not lost time."""
        self._stalled_s += self._late_s()
        self._due_at = None

    def _late_s(self) -> float:
        if self._due_at is None:
            return 0.0
        return max(0.0, self._clock.monotonic() - self._due_at - TOLERANCE_S)
