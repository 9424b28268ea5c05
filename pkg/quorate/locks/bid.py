"""A task that wants a lock, and its place in the server's line.

The id of a place is chosen before it is asked for, so that neither a lost answer nor a
cancelled caller leaves anything behind that nobody can name.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from quorate.core.clock import Chance
from quorate.core.errors import DeadlockError, NotReplicated
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.lease.session import Session

from .answers import Ask, Confirm, Granted, GrantNotice, Queued
from .model import HolderFacts, LockConfig
from .returning import Claim
from .store import LockStore, WaitStore
from .wish import Wish


@dataclass(frozen=True, slots=True)
class Parts:
    """What the parts of one lock manager work with."""

    store: LockStore
    session: Session
    config: LockConfig
    tasks: Tasks
    emit: Emit
    chance: Chance
    waits: WaitStore | None = None

    def now(self) -> float:
        return self.session.clock.monotonic()

    def confirm(self, wish: Wish) -> Confirm | None:
        """How a grant of this wish has to be confirmed."""
        if not wish.replicas:
            return None
        return Confirm(wish.replicas, self.config.replicas_within_s)


PATIENT_S = 3600.0
"""Who is ready to wait for so long stands by, and no long wait is news of it."""


class Attempt:
    """One call of a task that wants a lock, from asking until it has it or gives up.

    `upgrade`: the hold of a reader that wants to be the writer; it has no place in a
    line, and `bell` is rung for it. `asks_for_others`: these wait for its answer.
    """

    __slots__ = (
        "asks_for_others", "bell", "bid", "contended", "doom", "held_by", "owner",
        "started", "task", "tries", "upgrade", "wish",
    )  # fmt: skip

    def __init__(
        self,
        wish: Wish,
        owner: object,
        now: float,
        task: asyncio.Task[object] | None = None,
    ) -> None:
        self.wish = wish
        self.owner = owner
        self.started = now
        self.tries = 0
        self.contended = False
        self.held_by: HolderFacts | None = None
        self.task = task or asyncio.current_task()
        self.bid: Bid | None = None
        self.doom: DeadlockError | None = None
        self.upgrade = ""
        self.bell: asyncio.Event | None = None
        self.asks_for_others = False

    def heed_doom(self) -> None:
        """Raise `DeadlockError` if this one was chosen to give way."""
        if self.doom is not None:
            raise self.doom


class Bid:
    """A place in the server's line, or already the lock."""

    __slots__ = (
        "ask", "bell", "echo", "failure", "granted", "in_flight", "is_told_of",
        "is_void", "look_at", "notice", "queued", "since", "wish",
    )  # fmt: skip

    def __init__(self, ask: Ask, wish: Wish, now: float) -> None:
        self.ask = ask
        self.wish = wish
        self.since = now
        self.granted: Granted | None = None
        self.queued: Queued | None = None
        self.notice: GrantNotice | None = None
        self.bell: asyncio.Future[None] | None = None
        self.failure: NotReplicated | None = None
        self.look_at = float("inf")
        self.in_flight = 0
        self.echo = False
        self.is_void = False
        self.is_told_of = wish.wait_s is not None and wish.wait_s >= PATIENT_S

    @property
    def is_open(self) -> bool:
        return self.granted is None and not self.is_void

    def ring(self) -> None:
        """Something has changed: let who leads look."""
        if self.bell is not None and not self.bell.done():
            self.bell.set_result(None)

    def claim(self) -> Claim:
        """What is to be ended if nobody wants it any more."""
        where = self.granted or self.queued
        return Claim(
            name=self.ask.name,
            id=self.ask.id,
            session=where.session if where else "",
            echo=self.echo or self.in_flight > 0,
        )
