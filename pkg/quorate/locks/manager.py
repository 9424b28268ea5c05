"""The locks of one process: what users call.

    async with manager.acquire_lock("user:42", LockType.EXCLUSIVE) as grant:
        await write(token=grant.token)

Promise: at most one owner that may trust its lock, first come first served, a token
that grows with each owner, and early notice of loss. While the server is away locks
fail closed: nothing is granted, and work under a lock is stopped before the server
could give it to somebody else. A process that stood still is fenced by its token.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from quorate.core.clock import Chance, fresh_chance
from quorate.core.errors import MissingCapability
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Member, Tasks
from quorate.core.names import check_name
from quorate.lease.session import Session
from quorate.lease.sweeper import Room
from quorate.wire.consul import ConsulWire
from quorate.wire.redis import Wire

from .answers import GrantNotice, LookNotice, LossNotice, Notice, ResyncNotice
from .bid import Parts
from .consul import ConsulLocks
from .desk import LockDesk
from .lock import LockBlock
from .model import (
    Explanation,
    HolderFacts,
    LockConfig,
    LockLine,
    LockStats,
    LockType,
    OnLoss,
)
from .redis import RedisLocks
from .redis_waits import RedisWaits
from .returning import Claim, Returns
from .store import LockStore, WaitStore
from .template import NameTemplate, check_function
from .waiting import Bids
from .why import Why, chain
from .wish import checked_wish

P = ParamSpec("P")
R = TypeVar("R")

DRAIN_S = 2.0
MOST_LISTED = 10_000


class LockManager:
    """Locks on the life of one session. `await start()` before, `stop()` after."""

    def __init__(
        self,
        store: LockStore,
        session: Session,
        *,
        config: LockConfig | None = None,
        emit: Emit = silent,
        chance: Chance | None = None,
        waits: WaitStore | None = None,
    ) -> None:
        self.config = config or LockConfig()
        self._waits = waits
        self._store = store
        self._session = session
        self._emit = emit
        self._chance = chance or fresh_chance()
        self._tasks = Tasks(emit, session.clock)
        self._desk: LockDesk | None = None
        self._returns: Returns | None = None
        self._bids: Bids | None = None
        self._undo: list[Callable[[], None]] = []
        self._beneath: Member | None = None

    @classmethod
    def over(
        cls,
        wire: Wire | ConsulWire,
        session: Session,
        config: LockConfig | None = None,
        emit: Emit = silent,
        chance: Chance | None = None,
    ) -> LockManager:
        """Locks on the server behind `wire`, claimed by `session`."""
        if isinstance(wire, ConsulWire):
            consul = ConsulLocks(wire, session)
            return cls(consul, session, config=config, emit=emit, chance=chance)
        store, waits = RedisLocks(wire, session), RedisWaits(wire, session)
        return cls(store, session, config=config, emit=emit, chance=chance, waits=waits)

    async def start(self) -> None:
        parts = Parts(
            self._store,
            self._session,
            self.config,
            self._tasks,
            self._emit,
            self._chance,
            self._waits,
        )
        self._returns = Returns(self._store, self._tasks, self._emit)
        self._bids = Bids(parts, self._returns)
        self._desk = LockDesk(parts, self._bids, self._returns)
        self._undo = [
            self._store.listen(self._hear),
            self._session.on_lost(self._session_lost),
        ]

    async def stop(self) -> None:
        """Give everything back and end. Twice is harmless.

        Blocks that still run are stopped: their locks are lost.
        """
        undo, self._undo = self._undo, []
        if self._desk is not None:
            await self._desk.close()
        if self._returns is not None:
            await self._returns.settle(DRAIN_S)
        for undoing in undo:
            undoing()
        await self._tasks.close()

    async def close(self) -> None:
        """`stop`, and then stop what it stands on, if it was told of that."""
        beneath, self._beneath = self._beneath, None
        await self.stop()
        if beneath is not None:
            await beneath.stop()

    def stands_on(self, beneath: Member) -> None:
        """Let `close` stop `beneath` too."""
        self._beneath = beneath

    async def __aenter__(self) -> LockManager:
        if self._desk is None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def acquire_lock(
        self,
        name: str,
        lock_type: LockType = LockType.EXCLUSIVE,
        *,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        label: str = "",
        on_loss: OnLoss = "cancel",
        owner: str = "",
    ) -> LockBlock:
        """The lock `name` for the length of an `async with` block.

        Waits up to `wait_s` (None: as configured, for ever by default; 0: only tries)
        and then raises `LockNotGranted`. With `timeout_s` the hold ends after so many
        seconds even if the block runs on. If the lock is lost, the block is cancelled
        and `LockLostError` comes out of it; with `on_loss="flag"` it runs on, its
        `grant.check()` raises, and the error comes at its end. The owner is the running
        task, unless `owner` names somebody that several tasks act for.

        Raises `InvalidName` and `InvalidInput` at once; when entered also
        `DeadlockError` (the owner holds it already, or waits in a circle and was
        chosen to give way), `StoreUnavailable`.
        """
        wish = checked_wish(
            self.config, name, lock_type, wait_s=wait_s, timeout_s=timeout_s,
            label=label, on_loss=on_loss, owner=owner,
        )  # fmt: skip
        return LockBlock(self._open_desk(), wish)

    def with_lock(
        self,
        template: str,
        lock_type: LockType = LockType.EXCLUSIVE,
        *,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        label: str = "",
        on_loss: OnLoss = "cancel",
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Run an async function under the lock that its arguments name.

            @manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
            async def charge(user_id: str) -> None: ...

        The template is checked against the function here: `InvalidName` for a parameter
        that it does not have, `InvalidInput` for a function that is not async.
        """
        open_wish = checked_wish(
            self.config, "any", lock_type, wait_s=wait_s, timeout_s=timeout_s,
            label=label or template, on_loss=on_loss,
        )  # fmt: skip

        def decorate(
            function: Callable[P, Awaitable[R]],
        ) -> Callable[P, Coroutine[Any, Any, R]]:
            check_function(function)
            of = getattr(function, "__qualname__", "the function")
            names = NameTemplate(template, inspect.signature(function), of)

            @functools.wraps(function)
            async def locked(*args: P.args, **kwargs: P.kwargs) -> R:
                wish = dataclasses.replace(open_wish, name=names.fill(args, kwargs))
                async with LockBlock(self._open_desk(), wish):
                    return await function(*args, **kwargs)

            return locked

        return decorate

    async def explain(self, name: str) -> Explanation:
        """Who holds the lock, since when, and who waits. One request."""
        return await self._store.explain(check_name(name, "lock"))

    async def ls(self, most: int = MOST_LISTED) -> list[LockLine]:
        """All locks that are held or awaited, by anybody. One request a tag."""
        return await self._store.survey(most)

    async def why(self, owner: str) -> Why:
        """What an owner waits for, who holds that, what that one waits for, and so on.

        `owner`: its id, label or session, as `explain` shows them.
        """
        lines = await self._store.survey(MOST_LISTED)
        awaited = [self._store.explain(line.name) for line in lines if line.waiting]
        return chain(owner, await asyncio.gather(*awaited))

    async def release(self, name: str, token: int) -> bool:
        """Take a lock away from whoever holds it with this token; False if nobody does.

        The holder's block is stopped with `LockLostError`. Readers of one phase share a
        token and lose it together. Raises `MissingCapability` where it cannot be done.
        """
        check_name(name, "lock")
        if self._waits is None:
            raise MissingCapability(
                "This backend cannot take a lock away by its token."
            )
        return await self._waits.end_hold(name, token) > 0

    def holders(self) -> list[HolderFacts]:
        """What this process holds now, from memory."""
        return self._open_desk().holdings.facts()

    def stats(self) -> LockStats:
        """Counts since the start."""
        return self._open_desk().holdings.stats()

    def sweeper_room(self) -> Room:
        """How the sweeper cleans up here after a dead session."""
        return Room(clean=self._store.clean, index_key=RedisLocks.index_key)

    def _open_desk(self) -> LockDesk:
        if self._desk is None:
            raise RuntimeError("the lock manager is not open: call start() first")
        return self._desk

    def _session_lost(self, tag: str, session: str) -> None:
        assert self._desk is not None
        assert self._bids is not None
        assert self._returns is not None
        self._returns.forget(session)
        self._bids.session_lost(session)
        self._desk.session_lost(session)

    def _hear(self, notice: Notice) -> None:
        desk, bids, returns = self._desk, self._bids, self._returns
        assert desk is not None
        assert bids is not None
        assert returns is not None
        match notice:
            case GrantNotice():
                known = (
                    bids.granted(notice) or desk.holdings.find(notice.id) is not None
                )
                if not known and notice.id not in returns:
                    # A lock that nobody here asked for would be held for ever.
                    returns.soon(Claim(notice.name, notice.id, "", echo=False))
            case LossNotice():
                if (hold := desk.holdings.find(notice.id)) is not None:
                    desk.lose(hold, "the server ended it", is_claimed=False)
                bids.look(notice.id, 0.0)
            case LookNotice():
                bids.look(notice.id, notice.in_s)
            case ResyncNotice():
                bids.look_at_all()
