"""Keeps so many worker processes at work.

Each child has a session of its own. The supervisor starts it, listens to its beat,
kills it when its event loop makes no progress, and starts another after a rest. When a
child has died it ends the child's session, so that its tasks are back in their lanes at
once instead of after the session's time. A child whose supervisor is gone drains and
ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from quorate.core.clock import Chance, Clock
from quorate.core.errors import QueueError
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.lease.session import Session
from quorate.resilience.backoff import Backoff, exponential

from .child import Child, Letter
from .counts import WorkerTally, added_up
from .events import WorkerLost, WorkerStalled, WorkerStarted, WorkerStopped

READY_WITHIN_S = 60.0
LOOK_S = 0.5
BEYOND_GRACE_S = 8.0
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


class Supervisor:
    """Starts, watches and ends worker processes."""

    def __init__(
        self,
        orders: bytes,
        patience: Patience,
        bury: Bury,
        tools: Tools,
        lookout: Lookout,
    ) -> None:
        self._lookout = lookout
        self._orders = orders
        self._patience = patience
        self._bury = bury
        self._tools = tools
        self._tasks = Tasks(tools.emit, tools.clock)
        self._places: list[Place] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run now."""
        children = (place.child for place in self._places)
        return tuple(child.pid for child in children if child is not None)

    def tally(self) -> WorkerTally:
        """Counts over all children, those that ended included."""
        return added_up(place.tally for place in self._places)

    async def start(self, count: int) -> None:
        """Start `count` children and wait until each is ready.

        Raises `QueueError` when one of them cannot work at all; stop the others then.
        """
        self._places = [
            Place(number, self._orders, self._patience, self._bury, self._tools)
            for number in range(count)
        ]
        self._tasks.employ(self._lookout)
        for place in self._places:
            self._tasks.employ(place)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await asyncio.gather(*(place.ready for place in self._places))
        except TimeoutError as error:
            raise QueueError(
                f"The workers were not ready within {READY_WITHIN_S:g} s.",
                "They may be busy importing the handlers' modules.",
            ) from error

    async def stop(self) -> None:
        """Let all of them drain, and end those that take too long."""
        await asyncio.gather(*(place.end() for place in self._places))
        await self._tasks.close()


class Lookout:
    """A role: keeps the supervisor's own session among those of its children.

    Whoever renews a session learns for free that another one is late. A child that was
    stopped is noticed by the supervisor in this way, even if it was the only one.
    """

    name = "lookout"

    def __init__(self, session: Session, tag: str) -> None:
        self._session = session
        self._tag = tag

    async def tick(self) -> float:
        """Be inside; free if it is already."""
        await self._session.join(self._tag)
        return self._session.terms.renew_every_s


@dataclass(frozen=True, slots=True)
class Tools:
    """What the parts of a supervisor share."""

    emit: Emit
    clock: Clock
    chance: Chance


class Place:
    """A role: one child's place. One pass is the life of one child."""

    name = "worker's place"

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
        self.child: Child | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def tally(self) -> WorkerTally:
        """Counts over all children that had this place."""
        now = self.child.tally if self.child is not None else WorkerTally()
        return added_up((self._earlier, now))

    async def tick(self) -> float:
        """One life, from its start to its burial. Returns the rest before the next."""
        if self._is_ending:
            self._ended.set()
            return BEYOND_GRACE_S
        born_at = self._tools.clock.monotonic()
        child = self.child = await Child.start(self._orders, self._tools.clock)
        try:
            await self._live(child)
            code = await child.over(LAST_WORDS_S)
        finally:
            child.kill()
        last = replace(child.tally, running=0)
        self._earlier = added_up((self._earlier, last))
        self.child = None
        await self._after(child)
        return self._told_of(child, code, self._tools.clock.monotonic() - born_at)

    async def end(self) -> None:
        """Let the child drain; kill it if it takes too long. Returns after its end."""
        self._is_ending = True
        child = self.child
        if child is None:
            return
        child.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.grace_s + BEYOND_GRACE_S):
                await self._ended.wait()
        await child.over()

    async def _live(self, child: Child) -> None:
        """Listen to the child until it is gone, and kill it if it stalls."""
        warned = False
        while (letter := await child.hear(LOOK_S)) is not Letter.END:
            self._answer(child, letter)
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

    def _answer(self, child: Child, letter: Letter) -> None:
        if letter is Letter.READY:
            self._tools.emit(WorkerStarted(worker=self._number, pid=child.pid))
            if not self.ready.done():
                self.ready.set_result(None)
        elif letter is Letter.EVENT and child.event is not None:
            self._tools.emit(child.event)

    async def _after(self, child: Child) -> None:
        for tag, session in child.sessions:
            await self._bury(tag, session)

    def _told_of(self, child: Child, code: int, lived_s: float) -> float:
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
        self._deaths = 1 if lived_s >= GOOD_LIFE_S else self._deaths + 1
        rest_s = RESTARTS.delay_s(self._deaths, self._tools.chance)
        self._tools.emit(
            WorkerLost(
                worker=self._number, pid=child.pid, exit_code=code, rest_s=rest_s
            )
        )
        return rest_s
