"""Hearing that it is one's turn in a line on Consul, and ending a turn in time.

Each claim that waits watches the one claim before it. When that has changed, the line
is read again, and what matters is told: the grant, or that the claim is gone. A watch
that fails looks again a little later; no news are needed for a grant to be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quorate.core.errors import StoreError
from quorate.lease.session import Session
from quorate.wire.consul import WATCHES_AT_ONCE, ConsulWire

from .answers import Ask, GrantNotice, LookNotice
from .consul_line import Place, folder_of, read_line
from .store import Hear

WAIT_S = 20.0
AGAIN_S = 0.5
PACE_S = 0.1
POLL_S = 1.0
"""A process that waits for more locks than it may have watches looks at the others."""


Leave = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A claim that waits, and the session under which it was made."""

    ask: Ask
    session: str


class LineWatch:
    """The watches of one process. `hear` is called in its event loop."""

    def __init__(
        self, wire: ConsulWire, session: Session, granted: Callable[[Ask], None]
    ) -> None:
        self._wire = wire
        self._session = session
        self._granted = granted
        self._clock = session.clock
        self._hear: Hear | None = None
        self._following: dict[str, tuple[Awaited, asyncio.Task[None]]] = {}
        self._watching = 0

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Tell `hear` from now on. Returns its undoing, which ends all watches."""
        self._hear = hear
        unhook = self._session.on_lost(self._session_lost)

        def leave() -> None:
            self._hear = None
            unhook()
            for ident in tuple(self._following):
                self.forget(ident)

        return leave

    def follow(self, ask: Ask, session: str, before: Place) -> None:
        """Watch for the turn of this claim, unless that is done already."""
        if ask.id not in self._following:
            awaited = Awaited(ask, session)
            task = self._wire.tasks.spawn(self._follow(awaited, before), "watch a line")
            self._following[ask.id] = (awaited, task)

    def forget(self, ident: str) -> None:
        """Nobody waits for this claim any more."""
        _, task = self._following.pop(ident, (None, None))
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _session_lost(self, _tag: str, session: str) -> None:
        for awaited, _ in tuple(self._following.values()):
            if awaited.session == session:
                self.forget(awaited.ask.id)

    async def _follow(self, awaited: Awaited, first: Place) -> None:
        before: Place | None = first
        try:
            while before is not None:
                before = await self._step(awaited, before)
        finally:
            _, task = self._following.get(awaited.ask.id, (None, None))
            if task is asyncio.current_task():
                del self._following[awaited.ask.id]

    async def _step(self, awaited: Awaited, before: Place) -> Place | None:
        """Wait for the end of the one before; whose end to wait for next, if any."""
        try:
            if await self._is_unchanged(before):
                return before
            now = await self._look(awaited)
        except StoreError:
            await self._clock.sleep(AGAIN_S)
            return before
        if now == before:
            # What answers at once without a change is not asked in a circle.
            await self._clock.sleep(PACE_S)
        return now

    async def _is_unchanged(self, before: Place) -> bool:
        """Wait until the claim has changed, or for a while."""
        if self._watching >= WATCHES_AT_ONCE:
            await self._clock.sleep(POLL_S)
            return False
        self._watching += 1
        try:
            path, since = f"/v1/kv/{before.key}", before.modified
            index, found = await self._wire.watches.look(path, since, WAIT_S)
        finally:
            self._watching -= 1
        return bool(found) and index == since

    async def _look(self, awaited: Awaited) -> Place | None:
        """Read the line again, and tell what has come of the claim."""
        ask = awaited.ask
        folder = folder_of(self._wire.root, ask.name)
        asked_at = self._clock.monotonic()
        line = read_line(folder, await self._wire.calls.folder(folder))
        mine = line.find(ask.id)
        if mine is None:
            self._tell(LookNotice(ask.name, ask.id, 0.0))
            return None
        before = line.before(mine)
        if before is None:
            self._granted(ask)
            token, last = mine.token, mine.last_token
            self._tell(GrantNotice(ask.name, ask.id, token, last, asked_at))
        return before

    def _tell(self, notice: GrantNotice | LookNotice) -> None:
        if self._hear is not None:
            self._hear(notice)


class HardEnds:
    """The holds of this process. Those that have a hard end are ended when it comes.

    Consul ends a claim only with its session, so the process does it by itself.
    """

    def __init__(self, wire: ConsulWire, leave: Leave) -> None:
        self._wire = wire
        self._leave = leave
        self._held: dict[str, asyncio.Task[None] | None] = {}

    def granted(self, ask: Ask) -> None:
        """From here on it is held."""
        if ask.id not in self._held:
            self._held[ask.id] = None
            if ask.hard_s:
                end = self._wire.tasks.spawn(self._end(ask), "end a hold")
                self._held[ask.id] = end

    def forget(self, ident: str) -> bool:
        """It is being given back. True if it was known to be held."""
        is_held = ident in self._held
        task = self._held.pop(ident, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        return is_held

    def forget_all(self) -> None:
        """The session has ended, and every hold with it."""
        for ident in tuple(self._held):
            self.forget(ident)

    async def _end(self, ask: Ask) -> None:
        await self._wire.clock.sleep(ask.hard_s)
        is_done = False
        while not is_done:
            try:
                await self._leave(ask.name, ask.id, echo=False)
                is_done = True
            except StoreError:
                await self._wire.clock.sleep(AGAIN_S)
