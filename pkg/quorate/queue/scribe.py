"""Writes down who works on which queue, and which queues are in use, for who looks.

Nothing depends on it: what could not be written is written next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quorate.core.errors import OutcomeUnknown, StoreUnavailable

from .consumer import Consumer
from .crew import Crew
from .desk import Desk
from .sights import WorkerReport

LOOK_S = 2.0
IDLE_S = 10.0
AT_LEAST_EVERY_S = 20.0
"""Who has nothing to do, or nothing new to tell, reports so seldom."""

USED_EVERY_S = 600.0


class Scribe:
    """A role, one for each queue of a worker: reports what is done."""

    name = "scribe"

    def __init__(self, desk: Desk, consumer: Consumer) -> None:
        self._desk = desk
        self._consumer = consumer
        self._done = 0
        self._at = desk.clock.monotonic()
        self._next_used = self._told_at = self._at
        self._told: WorkerReport | None = None

    async def tick(self) -> float:
        """One report."""
        desk = self._desk
        try:
            session = self._consumer.session or await desk.session.join(desk.tag)
            mine = self._report(session)
            if self._is_told(mine):
                return LOOK_S
            await desk.crew.report(mine)
            if self._at >= self._next_used:
                await desk.crew.used()
                self._next_used = self._at + USED_EVERY_S
        except (StoreUnavailable, OutcomeUnknown):
            return LOOK_S
        self._told, self._told_at = mine, self._at
        return LOOK_S

    def _is_told(self, mine: WorkerReport) -> bool:
        """Is there no need to say this now?"""
        if self._told is None:
            return False
        is_same, is_busy = mine == self._told, mine.running or mine.rate
        rest_s = AT_LEAST_EVERY_S if is_same else 0.0 if is_busy else IDLE_S
        return self._at < self._told_at + rest_s

    def _report(self, session: str) -> WorkerReport:
        tally, now = self._consumer.tally, self._desk.clock.monotonic()
        passed_s, self._at = now - self._at, now
        rate = (tally.done - self._done) / passed_s if passed_s > 0 else 0.0
        self._done = tally.done
        return WorkerReport(
            session=session,
            running=len(self._consumer.running),
            places=self._desk.config.concurrency,
            rate=round(rate, 1),
            done_total=tally.done,
            retried_total=tally.retried,
            dead_total=tally.dead,
        )


class Signpost:
    """A role: keeps the queues that this process uses on the list of all queues."""

    name = "signpost"

    def __init__(
        self, used: Callable[[], Iterable[str]], crew_of: Callable[[str], Crew]
    ) -> None:
        self._used = used
        self._crew_of = crew_of

    async def tick(self) -> float:
        """Write all of them down. Raises while the server is away, and rests then."""
        for queue in tuple(self._used()):
            await self._crew_of(queue).used()
        return USED_EVERY_S
