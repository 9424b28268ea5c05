"""The locks of one process: what users call.

    async with manager.acquire_lock("user:42", LockType.EXCLUSIVE) as grant:
        await write(token=grant.token)

Promise: at most one owner that may trust its lock, first come first served, a token
that grows with each owner, and early notice of loss. While the server is away locks
fail closed: nothing is granted, and work under a lock is stopped before the server
could give it to somebody else. A process that stood still is fenced by its token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

from quorate.core.clock import Chance, fresh_chance
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Member, Tasks
from quorate.lease.session import Session
from quorate.lease.sweeper import Room
from quorate.wire.consul import ConsulWire
from quorate.wire.redis import Wire

from .answers import GrantNotice, LookNotice, LossNotice, Notice, ResyncNotice
from .bid import Parts
from .consul import ConsulLocks
from .decorating import Locked, Locking, Skipping
from .desk import LockDesk
from .kinds import Kinds
from .lock import LockBlock
from .looking import Looking
from .model import HolderFacts, LockConfig, LockStats, LockType, OnLoss
from .redis import RedisLocks
from .redis_meetings import RedisMeetings
from .redis_waits import RedisWaits
from .returning import Claim, Returns
from .roll_call import RollCall, call_roll
from .store import Beside, LockStore
from .waiting import Bids
from .wish import checked_wish, plain_wishes

DRAIN_S = 2.0


class LockManager(Kinds, Looking):
    """Locks on the life of one session. `await start()` before, `stop()` after."""

    def __init__(
        self,
        store: LockStore,
        session: Session,
        *,
        config: LockConfig | None = None,
        emit: Emit = silent,
        chance: Chance | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.config = config or LockConfig()
        self._plain = plain_wishes(self.config)
        self._store = store
        self._session = session
        beside = beside or Beside()
        self._meetings = beside.meetings
        self._waits = beside.waits
        self._emit = emit
        self._chance = chance or fresh_chance()
        self._tasks = Tasks(emit, session.clock)
        self._returns: Returns | None = None
        self._bids: Bids | None = None
        self._roll_call: RollCall | None = None
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
            at_consul = ConsulLocks(wire, session)
            return cls(at_consul, session, config=config, emit=emit, chance=chance)
        store = RedisLocks(wire, session)
        return cls(
            store, session, config=config, emit=emit, chance=chance,
            beside=Beside(RedisMeetings(wire, session), RedisWaits(wire, session)),
        )  # fmt: skip

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
        self._roll_call = await call_roll(parts, self._desk, self._bids, self._returns)
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
        at_least_for_s: float = 0.0,
        priority: int = 0,
        replicas: int | None = None,
    ) -> LockBlock:
        """The lock `name` for the length of an `async with` block.

        Waits up to `wait_s` (None: as configured, for ever by default; 0: only tries)
        and then raises `LockNotGranted`. With `timeout_s` the hold ends after so many
        seconds even if the block runs on. If the lock is lost, the block is cancelled
        and `LockLostError` comes out of it; with `on_loss="flag"` it runs on, its
        `grant.check()` raises, and the error comes at its end; so it does with a
        function, which is called with the reason. The owner is the running task, unless
        `owner` names somebody that several tasks act for. After a shorter block the
        lock stays taken until `at_least_for_s` are over, while this manager is open.
        Each step of `priority` passes who has waited up to a second longer. The grant
        counts only when `replicas` have it (None: as configured).

        Raises `InvalidName` and `InvalidInput` at once; when entered also
        `DeadlockError` (the owner holds it already, or waits in a circle and was
        chosen to give way), `StoreUnavailable`, and `NotReplicated`: too few replicas
        had it in time, and it is not held.
        """
        if (
            lock_type is LockType.EXCLUSIVE and type(name) is str
            and wait_s is timeout_s is replicas is None and on_loss == "cancel"
            and not (label or owner or at_least_for_s or priority)
        ):  # fmt: skip
            wish = self._plain(name)
        else:
            wish = checked_wish(
                self.config, name, lock_type, wait_s=wait_s, timeout_s=timeout_s,
                label=label, on_loss=on_loss, owner=owner,
                at_least_for_s=at_least_for_s, priority=priority, replicas=replicas,
            )  # fmt: skip
        return LockBlock(self._open_desk(), wish)

    @overload
    def with_lock(
        self,
        template: str,
        lock_type: LockType = ...,
        *,
        skip: Literal[False] = ...,
        wait_s: float | None = ...,
        timeout_s: float | None = ...,
        label: str = ...,
        on_loss: OnLoss = ...,
        at_least_for_s: float = ...,
        priority: int = ...,
    ) -> Locking: ...

    @overload
    def with_lock(
        self,
        template: str,
        lock_type: LockType = ...,
        *,
        skip: Literal[True],
        timeout_s: float | None = ...,
        label: str = ...,
        on_loss: OnLoss = ...,
        at_least_for_s: float = ...,
    ) -> Skipping: ...

    def with_lock(
        self,
        template: str,
        lock_type: LockType = LockType.EXCLUSIVE,
        *,
        skip: bool = False,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        label: str = "",
        on_loss: OnLoss = "cancel",
        at_least_for_s: float = 0.0,
        priority: int = 0,
    ) -> Locking | Skipping:
        """Run a function under the lock that its arguments name.

            @manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
            async def charge(user_id: str) -> None: ...

        A plain function becomes one to be awaited: it runs in a thread, which cannot be
        stopped, so loss is told by `current_grant().check()` and at the end. With
        `skip` nobody waits: where the lock is taken the function is not run and the
        result is None. The template is checked against the function here: `InvalidName`
        for a parameter that it does not have, `InvalidInput` for a generator.
        """
        wish = checked_wish(
            self.config, "any", lock_type, wait_s=wait_s, timeout_s=timeout_s,
            label=label or template, on_loss=on_loss, at_least_for_s=at_least_for_s,
            priority=priority,
        )  # fmt: skip
        return Locked(self._open_desk, template, wish, skip=skip)

    def holders(self) -> list[HolderFacts]:
        """What this process holds now, from memory."""
        return self._open_desk().holdings.facts()

    def stats(self) -> LockStats:
        """Counts since the start."""
        return self._open_desk().holdings.stats()

    def sweeper_room(self) -> Room:
        """How the sweeper cleans up here after a dead session."""
        return Room(clean=self._store.clean, index_key=RedisLocks.index_key)

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
                desk.conversions.granted(notice)
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
                if self._roll_call is not None:
                    self._roll_call.doubt()
                bids.look_at_all()
                desk.conversions.look_at_all()
