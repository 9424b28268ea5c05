"""Claims a little ahead of free places, by as much as an exchange takes to answer.

While an exchange is on its way, running tasks end. A worker that asks only for the
places that are free when it asks has them idle for a round trip. So it asks for those
too that will be free when the answer is here: tasks ended a second, times the quickest
answer of late, and that twice, because two exchanges take turns: while the tasks of one
are worked on, the other is on its way. For slow tasks that is nothing. Who had to be
claimed too early waits in the anteroom, the most urgent first, and goes back to its
lane if no place comes soon.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from .decide import after_release
from .lanes import Slots
from .model import LANES, Lease
from .ports import Finished

MOST_AHEAD = 256
LONGEST_S = 0.02
WINDOW_S = 0.02
STALE_S = 0.2
DRIFT = 1.02
TURNS = 2
WAITS_AT_MOST_S = 0.05


class Pace:
    """How many tasks end while an exchange is under way. Pure."""

    def __init__(self) -> None:
        self._since = 0.0
        self._ended = 0
        self._per_s = 0.0
        self._quickest_s = LONGEST_S

    def note(self, now: float, ended: int, took_s: float) -> None:
        """An exchange that settled so many tasks took so long."""
        self._quickest_s = min(took_s, self._quickest_s * DRIFT, LONGEST_S)
        self._ended += ended
        span_s = now - self._since
        if span_s >= WINDOW_S:
            self._per_s = self._ended / span_s if span_s < STALE_S else 0.0
            self._since, self._ended = now, 0

    def ahead(self, now: float) -> int:
        """So many places more than now are free will be when an answer is here."""
        if now - self._since > STALE_S:
            return 0
        return min(MOST_AHEAD, int(TURNS * self._per_s * self._quickest_s))


class Anteroom:
    """Claimed tasks for which there is no place yet."""

    def __init__(
        self,
        places: Callable[[], Slots],
        admit: Callable[[Lease], None],
        finished: Callable[[Finished], None],
    ) -> None:
        self._places = places
        self._admit = admit
        self._finished = finished
        self._lines: tuple[deque[tuple[Lease, float]], ...]
        self._lines = tuple(deque() for _ in range(LANES))
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_letting_in = False

    def __len__(self) -> int:
        return self._count

    @property
    def urgent(self) -> int:
        """How many of them came from the first lane."""
        return len(self._lines[0])

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(lease.id for lease, _ in self._all())

    def receive(self, leases: Sequence[Lease]) -> None:
        """Let them begin, as far as there are places for which nobody waits."""
        total, others = (0, 0) if self._count else self._places()
        for lease in leases:
            if total and (others or not lease.lane):
                total -= 1
                others = min(total, others - 1 if lease.lane else others)
                self._admit(lease)
            else:
                self._wait(lease)
        if self._count:
            self.next()

    def _wait(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        self._lines[lease.lane].append((lease, loop.time()))
        self._count += 1
        if self._timer is None:
            self._timer = loop.call_later(WAITS_AT_MOST_S, self._look)

    def next(self) -> None:
        """A place may have become free. One that ends at once makes room for more."""
        if self._is_letting_in:
            return
        self._is_letting_in = True
        try:
            while (line := self._next_line()) is not None:
                self._count -= 1
                self._admit(line.popleft()[0])
        finally:
            self._is_letting_in = False

    def remove(self, task_id: str) -> Lease | None:
        """Take one out; None if it is not here."""
        for line in self._lines:
            for entry in line:
                if entry[0].id == task_id:
                    line.remove(entry)
                    self._count -= 1
                    return entry[0]
        return None

    def forget(self, session: str) -> None:
        """The session is lost: what it had claimed is somebody else's."""
        self._keep(lambda lease, _: lease.session != session)

    def release(self) -> None:
        """Give back all."""
        for lease in self._keep(lambda *_: False):
            self._finished(Finished(lease, after_release(lease)))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Who has waited too long tries elsewhere."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = self._keep(lambda _, since: now - since < WAITS_AT_MOST_S)
        for lease in late:
            self._finished(Finished(lease, after_release(lease)))
        if self._count:
            self._timer = loop.call_later(WAITS_AT_MOST_S, self._look)

    def _keep(self, stays: Callable[[Lease, float], bool]) -> list[Lease]:
        """Take out all others."""
        left: list[Lease] = []
        for line in self._lines:
            for _ in range(len(line)):
                lease, since = line.popleft()
                if stays(lease, since):
                    line.append((lease, since))
                else:
                    left.append(lease)
        self._count -= len(left)
        return left

    def _next_line(self) -> deque[tuple[Lease, float]] | None:
        """The most urgent of those for whom there is a place."""
        if not self._count:
            return None
        slots = self._places()
        for lane, line in enumerate(self._lines):
            if line and self._fits(lane, slots):
                return line
        return None

    def _all(self) -> Iterator[tuple[Lease, float]]:
        for line in self._lines:
            yield from line

    @staticmethod
    def _fits(lane: int, slots: Slots) -> bool:
        return slots.total > 0 and (not lane or slots.others > 0)
