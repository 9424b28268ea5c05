"""A hold on the server, as this process has it: who is inside, and for how long yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from quorate.core.errors import words_of
from quorate.core.events import Emit, ListenerFailed
from quorate.lease.lease import Lease
from quorate.lease.session import Session

from .answers import Granted
from .model import HolderFacts, LockType, OnLoss, shown
from .returning import Claim
from .wish import Wish


class Inside(Protocol):
    """A block that runs under a hold."""

    @property
    def on_loss(self) -> OnLoss: ...

    @property
    def task(self) -> asyncio.Task[object] | None: ...

    @property
    def owner(self) -> object: ...

    def interrupt(self) -> None: ...


class Hold:
    """A hold on the server, for as long as this process has it.

    `has_line`: others of this process stand behind it, in a line of their own.

    Tasks of the process may be inside one after the other (`token` grows with each);
    one task may be inside several times (`entries`). Readers may be inside together:
    `joined` are their owners then. `is_closed`: no further one may join, because one
    of them wants to write; its `bell` is rung when another leaves.
    """

    __slots__ = (
        "began_at", "bell", "blocks", "echo", "entries", "hard_until", "has_line",
        "id", "is_claimed", "is_closed", "is_given_up", "is_kept", "joined",
        "last_token", "listeners", "lost",
        "owner", "session", "session_name", "shared", "since", "tag", "timer", "token",
        "wish",
    )  # fmt: skip

    def __init__(self, ident: str, wish: Wish, granted: Granted, session: Session):
        now = session.clock.monotonic()
        self.id = ident
        self.wish = wish
        self.shared = wish.shared
        self.has_line = not wish.asks_itself
        self.token, self.last_token, self.tag, self.session_name, *_ = granted
        self.session = session
        self.began_at = self.since = now
        self.hard_until: float | None = None
        if wish.timeout_s is not None:
            lease = Lease(granted.granted_at, wish.timeout_s)
            self.hard_until = lease.trusted_until
        self.owner: object = None
        self.entries = 0
        self.blocks: list[Inside] = []
        self.listeners: list[Callable[[str], None]] = []
        self.lost = ""
        self.is_claimed = True
        self.is_kept = False
        self.is_given_up = False
        self.echo = False
        self.timer: asyncio.TimerHandle | None = None
        self.joined: set[object] | None = None
        self.is_closed = False
        self.bell: asyncio.Event | None = None

    @property
    def lock_type(self) -> LockType:
        """How it is held now; an upgraded reader holds it exclusively."""
        if self.shared:
            return LockType.SHARED
        wished = self.wish.lock_type
        return LockType.EXCLUSIVE if wished is LockType.SHARED else wished

    def left_s(self, now: float) -> float:
        """Seconds for which it can be trusted without another renewal."""
        if self.lost:
            return 0.0
        until = self.session.trust(self.tag, self.session_name, now)
        if self.hard_until is not None and self.hard_until < until:
            until = self.hard_until
        return until - now if until > now else 0.0

    def owed_s(self, now: float) -> float:
        """Seconds for which it has to stay taken though its block is over."""
        return self.wish.at_least_for_s - (now - self.since)

    def claim(self) -> Claim:
        """What is to be ended when nobody is inside any more."""
        return Claim(self.wish.name, self.id, self.session_name, self.echo)

    def lose(self, why: str, emit: Emit) -> None:
        """It has ended: stop the blocks inside and tell who asked. Once."""
        if self.lost:
            return
        self.lost = why
        told = list(self.listeners)
        for block in tuple(self.blocks):
            block.interrupt()
            if callable(block.on_loss):
                told.append(block.on_loss)
        for listener in told:
            try:
                listener(why)
            except Exception as error:
                emit(
                    ListenerFailed(
                        heard="lock.lost",
                        listener=getattr(listener, "__qualname__", repr(listener)),
                        error=words_of(error),
                    )
                )

    def facts(self, now: float) -> HolderFacts:
        return HolderFacts(
            name=shown(self.wish.name),
            lock_type=self.lock_type,
            token=self.token,
            session=self.session_name,
            owner=owner_id(self.owner),
            label=self.wish.label,
            held_s=now - self.since,
            ends_in_s=self.left_s(now),
        )


def owner_id(owner: object) -> str:
    """The owner as others see it: as it was named, or by its task."""
    return owner if isinstance(owner, str) else f"task-{id(owner):x}"
