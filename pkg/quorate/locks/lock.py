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
from quorate.lease.lease import Lease
from quorate.lease.session import Session

from .answers import Granted, Was
from .model import HolderFacts
from .wish import Wish


class Hold:
    """A hold on the server, for as long as this process has it.

    Tasks of the process may be inside one after the other (`token` grows with each);
    one task may be inside several times (`entries`).
    """

    __slots__ = (
        "began_at", "blocks", "echo", "entries", "hard_until", "id", "is_claimed",
        "last_token", "listeners", "lost", "owner", "session", "session_name",
        "shared", "since", "tag", "timer", "token", "wish",
    )  # fmt: skip

    def __init__(self, ident: str, wish: Wish, granted: Granted, session: Session):
        now = session.clock.monotonic()
        self.id = ident
        self.wish = wish
        self.shared = wish.shared
        self.token = granted.token
        self.last_token = granted.last_token
        self.tag = granted.tag
        self.session_name = granted.session
        self.session = session
        self.began_at = self.since = now
        self.hard_until: float | None = None
        if wish.timeout_s is not None:
            lease = Lease(granted.granted_at, wish.timeout_s)
            self.hard_until = lease.trusted_until
        self.owner: object = None
        self.entries = 0
        self.blocks: list[LockBlock] = []
        self.listeners: list[Callable[[str], None]] = []
        self.lost = ""
        self.is_claimed = True
        self.echo = False
        self.timer: asyncio.TimerHandle | None = None

    def left_s(self, now: float) -> float:
        """Seconds for which it can be trusted without another renewal."""
        if self.lost or not self.session.is_alive(self.tag, self.session_name):
            return 0.0
        until = self.session.trusted_until(self.tag)
        if self.hard_until is not None:
            until = min(until, self.hard_until)
        return max(0.0, until - now)

    def lose(self, why: str) -> None:
        """It has ended: stop the blocks inside and tell who asked. Once."""
        if self.lost:
            return
        self.lost = why
        for block in tuple(self.blocks):
            block.interrupt()
        for told in tuple(self.listeners):
            told(why)

    def facts(self, now: float) -> HolderFacts:
        return HolderFacts(
            name=self.wish.name,
            lock_type=self.wish.lock_type,
            token=self.token,
            session=self.session_name,
            owner=owner_id(self.owner),
            label=self.wish.label,
            held_s=now - self.since,
            ends_in_s=self.left_s(now),
        )


class Grant:
    """Proof that you hold a lock. Write with its `token`, so that later holders win."""

    __slots__ = ("_hold", "_over", "lock_type", "name", "token")

    def __init__(self, hold: Hold, wish: Wish) -> None:
        self._hold = hold
        self._over = False
        self.name = wish.name
        self.lock_type = wish.lock_type
        self.token = hold.token

    def __repr__(self) -> str:
        return f"<Grant {self.name!r}, token {self.token}, {self.valid_for():.1f} s>"

    @property
    def fence(self) -> Fence:
        """The proof as the stores want it."""
        hold = self._hold
        return Fence(self.name, self.token, hold.session_name, hold.tag)

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
        """Call `told` with the reason if the lock is lost before its block ends."""
        self._hold.listeners.append(told)

    def end(self) -> None:
        """The block is over; the grant is worth nothing from now on."""
        self._over = True


class Desk(Protocol):
    """Where a block gets its hold and returns it."""

    async def take(self, wish: Wish) -> Hold: ...

    async def give_back(self, hold: Hold) -> Was: ...


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
    def task(self) -> asyncio.Task[object] | None:
        """Whose block it is: who entered it."""
        return self._task

    async def __aenter__(self) -> Grant:
        if self._grant is not None:
            raise RuntimeError("a lock block is used once: call acquire_lock again")
        task = asyncio.current_task()
        assert task is not None
        hold = await self._desk.take(self._wish)
        # From here to the return nothing waits, so that nothing can come in between.
        self._hold, self._task, self._cancelling = hold, task, task.cancelling()
        self._grant = Grant(hold, self._wish)
        self._before = enter_fence(self._grant.fence)
        hold.blocks.append(self)
        return self._grant

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        hold, grant, task = self._hold, self._grant, self._task
        assert hold is not None
        assert grant is not None
        assert task is not None
        assert self._before is not None
        hold.blocks.remove(self)
        grant.end()
        ours = self._interrupted and task.uncancel() <= self._cancelling
        if asyncio.current_task() is self._task:
            leave_fence(self._before)
        try:
            if self._interrupted and kind is not asyncio.CancelledError:
                await self._absorb(task)
        finally:
            was = await self._desk.give_back(hold)
        if hold.lost or was == "unknown":
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
            error.add_note(f"The lock {self._wish.name!r} was lost meanwhile: {why}.")


def owner_id(owner: object) -> str:
    """The owner as others see it: as it was named, or by its task."""
    return owner if isinstance(owner, str) else f"task-{id(owner):x}"


def lost_error(name: str, why: str) -> LockLostError:
    """The error of a block whose lock is gone."""
    return LockLostError(
        f"The lock {name!r} was lost.",
        f"Why: {why}.",
        "Somebody else may hold it. Write with the token, so that stale writes are "
        "refused, and take the lock again to go on.",
    )
