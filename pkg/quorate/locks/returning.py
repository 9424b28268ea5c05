"""Giving back what must not be forgotten.

A hold or a place in line that nobody wants any more is ended at once; if that cannot be
done or its outcome is open, it is tried again until it is done or its session is over.
The caller never waits for that: it may have been cancelled.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from quorate.core.errors import QuorateError
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks, to_the_end

from .events import LockReturnDelayed
from .model import shown
from .store import LockStore

AGAIN_S = 0.5
IDLE_S = 3600.0


class Claim(NamedTuple):
    """A claim to end. `session` is "" if it is not known under which it was made."""

    name: str
    id: str
    session: str
    echo: bool


class Returns:
    """A role: ends claims in the background, the stubborn ones again and again."""

    name = "lock returns"

    def __init__(self, store: LockStore, tasks: Tasks, emit: Emit) -> None:
        self._store = store
        self._tasks = tasks
        self._emit = emit
        self._open: dict[str, Claim] = {}
        self._closed = False
        self._duty = tasks.employ(self)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, ident: str) -> bool:
        return ident in self._open

    def soon(self, claim: Claim) -> None:
        """End `claim` in the background. After `settle` its session's end does that."""
        if self._closed:
            return
        self._open[claim.id] = claim
        self._tasks.spawn(self._try(claim), "give back a lock")

    async def now(self, claim: Claim) -> None:
        """End `claim` before anything else happens, if that can be done."""
        self._open[claim.id] = claim
        await to_the_end(self._try(claim), "give back a lock")

    def later(self, claim: Claim, why: str) -> None:
        """It could not be ended just now: try again until it is."""
        self._open[claim.id] = claim
        self._emit(LockReturnDelayed(lock=shown(claim.name), why=why))
        self._duty.wake()

    def forget(self, session: str) -> None:
        """The session is over, and all its claims with it."""
        for claim in [c for c in self._open.values() if c.session == session]:
            del self._open[claim.id]

    async def settle(self, within_s: float) -> None:
        """The last call: end all that is open, as far as that goes in `within_s`."""
        self._closed = True
        try:
            async with asyncio.timeout(within_s):
                for claim in tuple(self._open.values()):
                    await self._end(claim)
        except TimeoutError:
            return

    async def tick(self) -> float:
        for claim in tuple(self._open.values()):
            await self._end(claim)
        return AGAIN_S if self._open else IDLE_S

    async def _try(self, claim: Claim) -> None:
        if not await self._end(claim):
            self._duty.wake()

    async def _end(self, claim: Claim) -> bool:
        try:
            await self._store.leave(claim.name, claim.id, echo=claim.echo)
        except QuorateError:
            return False
        self._open.pop(claim.id, None)
        return True
