"""One worker process's post: who holds it is watched, and replaced when gone.

One pass of the role is the life of one child. It is listened to, killed when its event
loop makes no progress, asked to leave when it has done enough, and buried: its sessions
are ended, so that its tasks are back in their lanes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from quorate.core.clock import Chance, Clock
from quorate.core.errors import QueueError
from quorate.core.events import Emit
from quorate.resilience.backoff import Backoff, exponential

from .child import Child, Letter
from .counts import WorkerTally, added_up
from .events import (
    WorkerLost,
    WorkerRecycled,
    WorkerStalled,
    WorkerStarted,
    WorkerStopped,
)
from .measures import Rows, together
from .recycling import Recycler
from .sights import WorkerSight, WorkerState

LOOK_S = 0.5
BEYOND_GRACE_S = 4.0
"""So long after the grace the process is killed: with the default of 25 s this is still
before the 30 s at which Kubernetes would do it."""
LAST_WORDS_S = 5.0
RESTARTS: Backoff = exponential(0.1, 30.0)
GOOD_LIFE_S = 30.0
"""A child that lived so long starts the row of rests anew."""

Bury = Callable[[str, str], Awaitable[None]]
"""End this session (second) in this tag (first) and give its tasks back."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may be silent, and how long it may take to end."""

    grace_s: float
    warned_at_s: float
    max_stall_s: float


@dataclass(frozen=True, slots=True)
class Tools:
    """What the parts of a supervisor share. `output` takes what children print."""

    emit: Emit
    clock: Clock
    chance: Chance
    recycler: Recycler = field(default_factory=Recycler)
    output: int | None = None


class Post:
    """A role: one child's post."""

    name = "worker's post"

    def __init__(
        self,
        number: int,
        orders: bytes,
        patience: Patience,
        bury: Bury,
        tools: Tools,
    ) -> None:
        self._number = number
        self._orders = orders
        self._patience = patience
        self._bury = bury
        self._tools = tools
        self._deaths = 0
        self._is_ending = False
        self._ended = asyncio.Event()
        self._earlier = WorkerTally()
        self._earlier_rows: Rows = {}
        self._leaves_by: float | None = None
        self._born_at = 0.0
        self.child: Child | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def tally(self) -> WorkerTally:
        """Counts over all children that held this post."""
        now = self.child.tally if self.child is not None else WorkerTally()
        return added_up((self._earlier, now))

    @property
    def rows(self) -> Rows:
        """The measures of all children that held this post."""
        now = self.child.rows if self.child is not None else {}
        return together((self._earlier_rows, now))

    def sight(self) -> WorkerSight:
        """How things stand here."""
        child, clock = self.child, self._tools.clock
        if child is None:
            state = WorkerState.STOPPED if self._is_ending else WorkerState.RESTING
            return WorkerSight(number=self._number, state=state, tally=self.tally)
        state = WorkerState.WORKING if child.is_ready else WorkerState.STARTING
        if self._leaves_by is not None or self._is_ending:
            state = WorkerState.DRAINING
        elif child.is_ready and child.silent_s >= self._patience.warned_at_s:
            state = WorkerState.STALLED
        return WorkerSight(
            number=self._number,
            state=state,
            tally=self.tally,
            pid=child.pid,
            rss_bytes=child.rss_bytes,
            age_s=clock.monotonic() - self._born_at,
            silent_s=child.silent_s,
            lag_s=child.lag_s,
        )

    async def tick(self) -> float:
        """One life, from its start to its burial. Returns the rest before the next."""
        if self._is_ending:
            self._ended.set()
            return BEYOND_GRACE_S
        self._born_at = self._tools.clock.monotonic()
        self._leaves_by = None
        child = self.child = await Child.start(
            self._orders, self._tools.clock, self._tools.output
        )
        try:
            await self._live(child)
            code = await child.over(LAST_WORDS_S)
        finally:
            child.kill()
        last = replace(child.tally, running=0)
        self._earlier = added_up((self._earlier, last))
        self._earlier_rows = self.rows
        self.child = None
        await self._after(child)
        return self._told_of(child, code)

    async def end(self) -> None:
        """Let the child drain; kill it if it takes too long. Returns after its end."""
        self._is_ending = True
        child = self.child
        if child is None:
            return
        child.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.grace_s + BEYOND_GRACE_S):
                await self._ended.wait()
        await child.over()

    def hurry(self) -> None:
        """Who drains may not wait any longer for what runs."""
        if self.child is not None:
            self.child.hurry()

    async def _live(self, child: Child) -> None:
        """Listen to the child until it is gone, and kill it if it stalls."""
        recycler = self._tools.recycler
        tasks = recycler.tasks_for_one(self._tools.chance)
        warned = False
        while (letter := await child.hear(LOOK_S)) is not Letter.END:
            self._answer(child, letter)
            if letter is Letter.BEAT and self._leaves_by is None:
                why = recycler.why(child.tally, child.rss_bytes, tasks)
                if why and not self._is_ending and recycler.take_turn(self):
                    self._recycle(child, why)
            now = self._tools.clock.monotonic()
            if self._leaves_by is not None and now > self._leaves_by:
                child.kill()
                return
            silent_s = child.silent_s
            if not child.is_ready or silent_s < self._patience.warned_at_s:
                warned = False
                continue
            is_over = silent_s >= self._patience.max_stall_s
            if is_over or not warned:
                warned = True
                self._tools.emit(
                    WorkerStalled(
                        worker=self._number,
                        pid=child.pid,
                        stalled_s=silent_s,
                        killed=is_over,
                    )
                )
            if is_over:
                child.kill()
                return

    def _recycle(self, child: Child, why: str) -> None:
        beyond_s = self._patience.grace_s + BEYOND_GRACE_S
        self._leaves_by = self._tools.clock.monotonic() + beyond_s
        child.drain()
        self._tools.emit(WorkerRecycled(worker=self._number, pid=child.pid, why=why))

    def _answer(self, child: Child, letter: Letter) -> None:
        if letter is Letter.READY:
            self._tools.recycler.end_turn(self)
            self._tools.emit(WorkerStarted(worker=self._number, pid=child.pid))
            if not self.ready.done():
                self.ready.set_result(None)
        elif letter is Letter.EVENT and child.event is not None:
            self._tools.emit(child.event)

    async def _after(self, child: Child) -> None:
        for tag, session in child.sessions:
            await self._bury(tag, session)

    def _told_of(self, child: Child, code: int) -> float:
        if not self.ready.done():
            why = child.failure or f"It ended with exit code {code}."
            error = QueueError(
                "A worker process could not begin.",
                why,
                "Mend that and start the workers again.",
            )
            self.ready.set_exception(error)
            self.ready.exception()
            self._is_ending = True
        if self._is_ending:
            self._tools.emit(WorkerStopped(worker=self._number, pid=child.pid))
            self._ended.set()
            return BEYOND_GRACE_S
        if self._leaves_by is not None and not code:
            return 0.0
        self._tools.recycler.end_turn(self)
        lived_s = self._tools.clock.monotonic() - self._born_at
        self._deaths = 1 if lived_s >= GOOD_LIFE_S else self._deaths + 1
        rest_s = RESTARTS.delay_s(self._deaths, self._tools.chance)
        self._tools.emit(
            WorkerLost(
                worker=self._number, pid=child.pid, exit_code=code, rest_s=rest_s
            )
        )
        return rest_s
