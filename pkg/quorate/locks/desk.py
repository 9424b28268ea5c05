"""Taking and giving back: where blocks get their holds, and what becomes of them.

A lock that is free costs one request to take and one to give back. A hold that is lost
stops its block; one that is owed for longer than its block stays taken.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any

from quorate.core.errors import LockLostError, LockNotGranted, QuorateError
from quorate.core.failpoint import failpoint, is_armed

from .answers import Was
from .bid import Attempt, Parts
from .converting import Conversions
from .danger import DangerWatch
from .hold import Hold, owner_id
from .holdings import Holdings
from .lines import Lines
from .returning import Returns
from .store import TogetherStore
from .waiting import Bids
from .wish import Wish

ALL_OUT_S = 2.0


class LockDesk:
    """Where blocks get their holds, and the lines of this process."""

    def __init__(self, parts: Parts, bids: Bids, returns: Returns) -> None:
        self._parts = parts
        self._bids = bids
        self._returns = returns
        self._now = parts.session.clock.monotonic
        self._numbers = itertools.count(1)
        self.holdings = Holdings(parts)
        self._danger = DangerWatch(parts, self.holdings)
        self._lines = Lines(parts, bids, returns, self.holdings)
        self.conversions = Conversions(parts, self._lines.deadlocks)

    async def take(self, wish: Wish, task: asyncio.Task[object]) -> Hold:
        """The lock, once it is this caller's turn, who runs in `task`.

        Raises `LockNotGranted`, `DeadlockError`, `LockLostError` (entering again what
        is lost already), `SessionLostError`, and what the store raises.
        """
        self._lines.check_open(wish)
        owner: object = wish.owner or task
        if wish.weight:
            # Permits are counted: who asks again wants more of them.
            owner = f"{owner_id(owner)}#{next(self._numbers)}"
        attempt = Attempt(wish, owner, self._now(), task)
        held = self.holdings.owned(owner, wish.name)
        if held is not None:
            self.holdings.enter_again(held, attempt)
            return held
        tally = self.holdings.tally
        tally.waiting += 1
        try:
            if wish.wait_s:
                async with asyncio.timeout(wish.wait_s):
                    hold = await self._lines.obtain(attempt)
            else:
                hold = await self._lines.obtain(attempt)
        except LockNotGranted:
            raise
        except TimeoutError as error:
            raise self.holdings.denied(attempt) from error
        finally:
            tally.waiting -= 1
            if attempt.contended:
                self._lines.waits_no_more(attempt)
        self._admit(hold, attempt)
        return hold

    async def take_all(self, wishes: Sequence[Wish]) -> dict[str, Hold]:
        """All these locks in one request, by name; {} if that cannot be done now."""
        store, owner = self._parts.store, wishes[0].owner or asyncio.current_task()
        self._lines.check_open(wishes[0])
        names = [wish.name for wish in wishes if not wish.shared]
        if (
            len(wishes) < 2
            or not isinstance(store, TogetherStore)
            or any(self.holdings.owned(owner, wish.name) for wish in wishes)
            or not self._lines.reserve(names)
        ):
            return {}
        attempts = [Attempt(wish, owner, self._parts.now()) for wish in wishes]
        granted: list[Hold] = []
        try:
            granted = await self._bids.ask_all(store, attempts)
        finally:
            if not granted:
                self._lines.release(names)
        for hold, attempt in zip(granted, attempts, strict=True) if granted else ():
            self._admit(hold, attempt)
        return {hold.wish.name: hold for hold in granted}

    def give_back_soon(self, hold: Hold) -> asyncio.Task[Was]:
        """`give_back` in a task of its own."""
        return self._parts.tasks.spawn(self.give_back(hold), "give back a lock")

    async def resign(self, hold: Hold, *, inside: bool) -> None:
        """End a hold before its block does; from outside by stopping that."""
        if not inside:
            self.lose(hold, "it was given up", is_claimed=True)
            return
        hold.lost, hold.is_claimed, hold.is_given_up = "it was given up", False, True
        self._lines.let_go(hold)
        await self._leave(hold)

    def _admit(self, hold: Hold, attempt: Attempt) -> None:
        now = self._now()
        if hold.entries:
            self.holdings.join(hold, attempt, now)
            return
        self.holdings.enter(hold, attempt, now)
        if hold.hard_until is not None:
            self.holdings.ends_by(hold, self._hard_end)
        self._danger.entered(hold, now)
        if hold.has_line:
            self._lines.holds(hold)

    async def give_back(self, hold: Hold) -> Was:
        """A block has ended. Returns "unknown" if the server says it was not held."""
        now = self._now()
        if hold.left_s(now) <= 0.0:
            # The loop stood still and nobody could stop the block in time.
            self.lose(hold, "it was not renewed in time", is_claimed=True)
        if not self.holdings.leave(hold, now):
            return "held"
        if hold.lost:
            return await self._leave(hold) if hold.is_claimed else "held"
        owed_s = hold.owed_s(now)
        if owed_s > 0.0:
            hold.is_kept = True
            self._parts.tasks.spawn(self._keep(hold, owed_s), "keep a lock")
            return "held"
        return await self._return(hold)

    async def _keep(self, hold: Hold, for_s: float) -> None:
        """The block is over, but the lock was to stay taken for longer."""
        await self._parts.session.clock.sleep(for_s)
        if not hold.lost:
            hold.is_kept = False
            await self._return(hold)

    async def _return(self, hold: Hold) -> Was:
        if self._lines.pass_on(hold):
            return "held"
        self._lines.let_go(hold)
        was = await self._leave(hold)
        if was == "unknown" and hold.left_s(self._now()) > 0.0:
            self.holdings.tell_lost(hold, "the server had ended it")
            return was
        # If it ended while it was being given back, the block was over in time.
        return "held"

    def lose(self, hold: Hold, why: str, *, is_claimed: bool) -> None:
        """A hold has ended against the will of who is inside.

        `is_claimed`: on the server it stands still and has to be ended.
        """
        if hold.lost:
            return
        hold.is_claimed = is_claimed
        hold.lose(why, self._parts.emit)
        self.holdings.remove(hold)
        if not hold.entries:
            if is_claimed:
                self._returns.soon(hold.claim())
            # Unless it is kept, it is on its way to the next task here, who will see.
            if hold.is_kept:
                self._lines.is_over(hold)
            return
        self.holdings.tell_lost(hold, why)
        self._lines.is_over(hold)

    async def upgrade(self, hold: Hold, owner: object, wait_s: float | None) -> None:
        """Make a reader the writer. See `Grant.upgrade`."""
        await self._converted(hold, self.conversions.upgrade(hold, owner, wait_s))

    async def downgrade(self, hold: Hold) -> None:
        """Make a writer a reader. See `Grant.downgrade`."""
        await self._converted(hold, self.conversions.downgrade(hold))

    def session_lost(self, session: str) -> None:
        """All holds of a session are over."""
        for hold in self.holdings.of_session(session):
            self.lose(hold, "the session ended", is_claimed=False)

    async def close(self) -> None:
        """Nobody may enter any more; stop the blocks and wait for them, for a while."""
        self._lines.close()
        for hold in self.holdings.all():
            self.lose(hold, "the lock manager was closed", is_claimed=True)
        self._bids.give_up_all()
        await self.holdings.all_out(ALL_OUT_S)

    async def _converted(self, hold: Hold, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except LockLostError as error:
            self.lose(hold, error.why, is_claimed=False)
            raise

    async def _leave(self, hold: Hold) -> Was:
        try:
            if is_armed():
                await failpoint("locks.before_leave")
            store = self._parts.store
            was = await store.leave(hold.wish.name, hold.id, echo=hold.echo)
        except asyncio.CancelledError:
            self._returns.soon(hold.claim())
            raise
        except QuorateError as error:
            self._returns.later(hold.claim(), error.what)
            return "held"
        if is_armed():
            await failpoint("locks.after_leave")
        return was

    def _hard_end(self, hold: Hold) -> None:
        self.lose(hold, "its timeout is over", is_claimed=True)
