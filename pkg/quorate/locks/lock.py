"""What a caller holds: a block that stops when its lock is lost, and proof of it.

Loss cancels exactly the task inside the block and comes out of it as `LockLostError`,
the way `asyncio.timeout` does it: a cancellation from outside stays a cancellation, and
an error of the block itself comes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from quorate.core.errors import LockLostError
from quorate.core.fence import Before, Fence, enter_fence, leave_fence

from .answers import Was
from .faults import lost_error
from .hold import Hold
from .model import LockType, OnLoss, check_wait, shown
from .wish import Wish, check_told


class Grant:
    """Proof that you hold a lock. Write with its `token`, so that later holders win."""

    __slots__ = ("_desk", "_hold", "_name", "_over", "_owner", "_to_tell", "_token")

    def __init__(self, hold: Hold, desk: Desk, owner: object) -> None:
        self._hold = hold
        self._owner = owner
        self._desk = desk
        self._over = False
        self._token = hold.token
        self._name = hold.wish.name
        self._to_tell: list[Callable[[str], None]] = []

    def __repr__(self) -> str:
        return f"<Grant {self.name!r}, token {self.token}, {self.valid_for():.1f} s>"

    @property
    def name(self) -> str:
        """Of the lock, as it was asked for."""
        return shown(self._name)

    @property
    def token(self) -> int:
        """The number of this grant: higher than any before it. Upgrading raises it."""
        return self._token if self._over else self._hold.token

    @property
    def lock_type(self) -> LockType:
        """How it is held now."""
        return self._hold.lock_type

    @property
    def fence(self) -> Fence:
        """The proof as the stores want it."""
        hold = self._hold
        return Fence(self._name, self.token, hold.session_name, hold.tag)

    @property
    def is_lost(self) -> bool:
        """Is it over? A look at memory, never at the server."""
        return self.valid_for() <= 0.0

    def valid_for(self) -> float:
        """Seconds for which nobody else can get the lock, if nothing is renewed.

        Renewal keeps it up; 0.0 when the lock is lost or given back.
        """
        if self._over:
            return 0.0
        return self._hold.left_s(self._hold.session.clock.monotonic())

    def check(self) -> None:
        """Raise `LockLostError` unless the lock is held now. Costs no request."""
        if self._over:
            raise LockLostError(
                f"The lock {self.name!r} was given back.",
                "Its block has ended.",
                "Use a grant only inside its block.",
            )
        if self.is_lost:
            raise lost_error(self.name, self._hold.lost or "not renewed in time")

    def on_lost(self, told: Callable[[str], None]) -> None:
        """Call `told` with the reason if the lock is lost before its block ends.

        Raises `LockLostError` after that, and `InvalidInput` for a coroutine function.
        """
        if self._over:
            self.check()
        check_told(told, "on_lost")
        self._hold.listeners.append(told)
        self._to_tell.append(told)

    async def upgrade(self, *, wait_s: float | None = None) -> None:
        """From SHARED to EXCLUSIVE, without letting a writer in between.

        Waits up to `wait_s` (None: for ever, 0: only tries) until no other reader is
        left, then raises `LockNotGranted`; the hold stays shared then. Only one reader
        may wait so: a second is refused with `DeadlockError` at once. The token grows.
        """
        self.check()
        check_wait(wait_s)
        await self._desk.upgrade(self._hold, self._owner, wait_s)

    async def downgrade(self) -> None:
        """From EXCLUSIVE to SHARED, without letting a writer in between.

        Readers that wait are let in. Raises what the store raises; from the call on the
        hold may be shared. `InvalidInput` if its owner has entered it again.
        """
        self.check()
        await self._desk.downgrade(self._hold)

    def end(self) -> None:
        """The block is over; the grant is worth nothing from now on."""
        self._token = self._hold.token
        self._over = True
        for told in self._to_tell:
            # Others may be inside still, or the list may be that of the next by now.
            if told in self._hold.listeners:
                self._hold.listeners.remove(told)


class Desk(Protocol):
    """Where a block gets its hold and returns it."""

    async def take(self, wish: Wish, task: asyncio.Task[object]) -> Hold: ...

    async def give_back(self, hold: Hold) -> Was: ...

    async def upgrade(
        self, hold: Hold, owner: object, wait_s: float | None
    ) -> None: ...

    async def downgrade(self, hold: Hold) -> None: ...


class LockBlock:
    """`async with` it: waits for the lock, and gives it back at the end. Used once."""

    __slots__ = (
        "_before",
        "_cancelling",
        "_desk",
        "_grant",
        "_hold",
        "_interrupted",
        "_task",
        "_wish",
    )  # fmt: skip

    def __init__(self, desk: Desk, wish: Wish) -> None:
        self._desk = desk
        self._wish = wish
        self._hold: Hold | None = None
        self._grant: Grant | None = None
        self._task: asyncio.Task[object] | None = None
        self._before: Before | None = None
        self._cancelling = 0
        self._interrupted = False

    @property
    def on_loss(self) -> OnLoss:
        """What is to become of it when the lock is lost."""
        return self._wish.on_loss

    @property
    def hold(self) -> Hold:
        """What the block holds; only inside."""
        assert self._hold is not None
        return self._hold

    @property
    def task(self) -> asyncio.Task[object] | None:
        """Whose block it is: who entered it."""
        return self._task

    @property
    def owner(self) -> object:
        """Whom it acts for."""
        return self._wish.owner or self._task

    async def __aenter__(self) -> Grant:
        if self._grant is not None:
            raise RuntimeError("a lock block is used once: call acquire_lock again")
        task = asyncio.current_task()
        assert task is not None
        hold = await self._desk.take(self._wish, task)
        # From here to the return nothing waits, so that nothing can come in between.
        self._hold, self._task, self._cancelling = hold, task, task.cancelling()
        self._grant = Grant(hold, self._desk, self.owner)
        if not self._wish.weight:
            self._before = enter_fence(self._grant)
        hold.blocks.append(self)
        return self._grant

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        hold, grant, task = self._hold, self._grant, self._task
        assert hold is not None
        assert grant is not None
        assert task is not None
        hold.blocks.remove(self)
        grant.end()
        ours = self._interrupted and task.uncancel() <= self._cancelling
        if self._before is not None:
            leave_fence(self._before)
        try:
            if self._interrupted and kind is not asyncio.CancelledError:
                await self._absorb(task)
        finally:
            was = await self._desk.give_back(hold)
        if (hold.lost and not hold.is_given_up) or was == "unknown":
            self._tell(hold.lost or "the server had ended it", kind, error, ours)

    def interrupt(self) -> None:
        """The lock is lost: stop the block, unless it only wants to be told."""
        if self._wish.on_loss == "cancel" and self._task is not None:
            self._interrupted = True
            self._task.cancel()

    async def _absorb(self, task: asyncio.Task[object]) -> None:
        """Let our cancellation, if it is still under way, not strike what comes later.

        Before Python 3.13 `uncancel` does not take it back.
        """
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if task.cancelling() > self._cancelling:
                raise

    def _tell(
        self,
        why: str,
        kind: type[BaseException] | None,
        error: BaseException | None,
        ours: bool,  # noqa: FBT001 - private, and a fact rather than a choice
    ) -> None:
        if kind is None or (kind is asyncio.CancelledError and ours):
            raise lost_error(self._wish.name, why) from error
        if error is not None and kind is not LockLostError:
            error.add_note(
                f"The lock {shown(self._wish.name)!r} was lost meanwhile: {why}."
            )
