"""A hold that changes its kind while its block runs: reader to writer, and back.

A reader that asks to be the writer waits until the other readers are gone; new ones are
not let in meanwhile. Only one reader may wait so: a second would wait for the first,
which waits for it, so it is refused at once.
"""

from __future__ import annotations

import asyncio
import contextlib

from quorate.core.errors import (
    InvalidInput,
    LockLostError,
    LockNotGranted,
    MissingCapability,
    QuorateError,
    StoreUnavailable,
)
from quorate.core.lifecycle import to_the_end

from .answers import Granted, GrantNotice, Queued
from .bid import Attempt, Parts
from .deadlock_watch import DeadlockWatch
from .faults import lost_error, upgrade_conflict
from .hold import Hold
from .model import kind_of, shown
from .store import LockConversions

AFTER_THE_END_S = 0.005


class _Waiting:
    """A hold that waits to be the writer, and the news of it."""

    __slots__ = ("attempt", "bell", "notice")

    def __init__(self, hold: Hold, owner: object, now: float) -> None:
        self.bell = asyncio.Event()
        self.attempt = Attempt(hold.wish, owner, now)
        self.attempt.upgrade, self.attempt.bell = hold.id, self.bell
        self.notice: GrantNotice | None = None


class Conversions:
    """Upgrades and downgrades of the holds of one lock manager."""

    def __init__(self, parts: Parts, deadlocks: DeadlockWatch) -> None:
        self._parts = parts
        self._deadlocks = deadlocks
        self._waiting: dict[str, _Waiting] = {}

    def granted(self, notice: GrantNotice) -> None:
        """The server says that this hold is the writer now."""
        waiting = self._waiting.get(notice.id)
        if waiting is not None:
            waiting.notice = notice
            waiting.bell.set()

    def look_at_all(self) -> None:
        """News were missed: ask again."""
        for waiting in self._waiting.values():
            waiting.bell.set()

    async def upgrade(self, hold: Hold, owner: object, wait_s: float | None) -> None:
        """Make `hold` the writer; nothing to do if it is. See `Grant.upgrade`."""
        store = self._store()
        _check(hold)
        if not hold.shared:
            return
        if hold.id in self._waiting:
            if hold.joined is not None:
                raise upgrade_conflict(hold.wish.name, hold.facts(self._parts.now()))
            raise InvalidInput(f"{shown(hold.wish.name)!r} is being upgraded already.")
        waiting = self._waiting[hold.id] = _Waiting(hold, owner, self._parts.now())
        hold.is_closed, hold.bell = True, waiting.bell
        hold.listeners.append(lambda _: waiting.bell.set())
        try:
            async with asyncio.timeout(wait_s or None):
                token, last = await self._wait(
                    store, hold, waiting, only_try=wait_s == 0
                )
        except LockLostError:
            raise
        except BaseException as error:
            await to_the_end(self._take_back(store, hold), "take back an upgrade")
            if isinstance(error, TimeoutError):
                raise _in_vain(hold, wait_s) from error
            raise
        finally:
            hold.bell = None
            self._deadlocks.ends(waiting.attempt)
            del self._waiting[hold.id]
        hold.shared, hold.token, hold.last_token = False, token, last

    async def downgrade(self, hold: Hold) -> None:
        """Make `hold` a reader; nothing to do if it is. See `Grant.downgrade`."""
        store = self._store()
        _check(hold)
        if hold.shared:
            return
        if hold.entries > 1:
            raise InvalidInput(
                f"{shown(hold.wish.name)!r} cannot be downgraded.",
                f"Its owner has entered it {hold.entries} times, and the outer block "
                "relies on being alone.",
                "Downgrade in the outermost block.",
            )
        # Whatever becomes of the request: from here on it may be a reader.
        hold.shared = True
        try:
            hold.token = await store.downgrade(hold.wish.name, hold.id)
        except StoreUnavailable:
            hold.shared = False
            raise
        hold.last_token = hold.token

    async def _wait(
        self, store: LockConversions, hold: Hold, waiting: _Waiting, *, only_try: bool
    ) -> tuple[int, int]:
        await self._be_alone(hold, waiting, only_try=only_try)
        confirm = self._parts.confirm(hold.wish)
        answer = await store.upgrade(hold.wish.name, hold.id, confirm)
        while not isinstance(answer, Granted):
            if only_try:
                raise TimeoutError
            self._deadlocks.begins(waiting.attempt)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_s(answer)):
                    await waiting.bell.wait()
            waiting.bell.clear()
            waiting.attempt.heed_doom()
            if hold.lost:
                raise lost_error(hold.wish.name, hold.lost)
            if waiting.notice is not None and confirm is None:
                return waiting.notice.token, waiting.notice.last_token
            answer = await store.upgrade(hold.wish.name, hold.id, confirm)
        return answer.token, answer.last_token

    async def _be_alone(self, hold: Hold, waiting: _Waiting, *, only_try: bool) -> None:
        """Wait until those of this process who share the hold have left."""
        while any(block.owner != waiting.attempt.owner for block in hold.blocks):
            if only_try:
                raise TimeoutError
            self._deadlocks.begins(waiting.attempt)
            await waiting.bell.wait()
            waiting.bell.clear()
            waiting.attempt.heed_doom()
            if hold.lost:
                raise lost_error(hold.wish.name, hold.lost)

    def _look_s(self, answer: Queued) -> float:
        """Asking for nothing, in case that news were lost; or when a hold ends."""
        ttl_s = self._parts.session.terms.ttl_s
        look_s = ttl_s * (0.75 + 0.25 * self._parts.chance.random())
        if answer.look_in_s is None:
            return look_s
        return min(look_s, max(0.0, answer.look_in_s) + AFTER_THE_END_S)

    async def _take_back(self, store: LockConversions, hold: Hold) -> None:
        """It stays a reader. If that cannot be said now, its end will say it."""
        if hold.lost:
            return
        try:
            hold.token = await store.downgrade(hold.wish.name, hold.id)
        except QuorateError:
            return

    def _store(self) -> LockConversions:
        store = self._parts.store
        if not isinstance(store, LockConversions):
            raise MissingCapability(
                "Holds cannot be upgraded or downgraded here.",
                "This backend's locks do not offer it.",
                "Leave the block and take the lock anew in the other kind.",
            )
        return store


def _check(hold: Hold) -> None:
    """Raises `LockLostError`, and `InvalidInput` for what is no plain lock."""
    if hold.lost:
        raise lost_error(hold.wish.name, hold.lost)
    if (kind := kind_of(hold.wish.name)) != "lock":
        raise InvalidInput(
            f"{shown(hold.wish.name)!r} is no lock with readers and a writer.",
            f"It is of the kind {kind}.",
        )


def _in_vain(hold: Hold, wait_s: float | None) -> LockNotGranted:
    return LockNotGranted(
        f"{shown(hold.wish.name)!r} was not upgraded within {wait_s or 0:g} s.",
        "Other readers hold it too; this one still is a reader.",
        "Wait longer with wait_s=…, or ask who holds it: await manager.explain(…).",
    )
