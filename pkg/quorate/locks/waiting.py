"""Standing in the server's line, without polling.

A bid is known here before it is sent, so the news of the grant may even come before the
answer. News that are missed heal: on a restored connection, and rarely in between,
every bid asks again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quorate.core.errors import (
    LockNotGranted,
    NotReplicated,
    OutcomeUnknown,
    QuorateError,
    SessionLostError,
)
from quorate.core.failpoint import failpoint, is_armed
from quorate.core.lifecycle import Duty

from .answers import Ask, Busy, Granted, GrantNotice
from .bid import Attempt, Bid, Parts
from .events import LockWaitLong
from .hold import Hold, owner_id
from .model import shown
from .returning import Claim, Returns
from .store import TogetherStore
from .wish import Wish

IDLE_S = 3600.0
AGAIN_S = 0.5
AFTER_THE_END_S = 0.005
PRIORITY_S = 1.0
"""Each step of priority is worth so much waiting: that is how the others age."""


class Bids:
    """A role: all bids of this process; asks again for those that are due."""

    name = "lock usher"

    def __init__(self, parts: Parts, returns: Returns) -> None:
        self._parts = parts
        self._returns = returns
        self._bids: dict[str, Bid] = {}
        self._now = parts.session.clock.monotonic
        self._prefix = f"{parts.session.id}:"
        self._ids = itertools.count(1)
        self._next_look_at = float("inf")
        self._duty: Duty = parts.tasks.employ(self)

    def __contains__(self, ident: str) -> bool:
        return ident in self._bids

    async def ask(self, attempt: Attempt) -> Bid:
        """Send a bid; it comes back granted or in line.

        Raises `LockNotGranted` if the attempt does not wait and the lock is taken, and
        what the store raises.
        """
        bid = Bid(self._new_ask(attempt), attempt.wish, self._now())
        self._bids[bid.ask.id] = bid
        try:
            await self._send(bid, attempt)
        except BaseException as error:
            self._bids.pop(bid.ask.id, None)
            if isinstance(error, NotReplicated):
                await self._returns.now(bid.claim())
            elif isinstance(error, (asyncio.CancelledError, OutcomeUnknown)):
                bid.echo = True
                self._returns.soon(bid.claim())
            raise
        return bid

    async def ask_all(
        self, store: TogetherStore, attempts: Sequence[Attempt]
    ) -> list[Hold]:
        """Send the wishes of several attempts at once; [] if not all are granted."""
        asks = [self._new_ask(attempt) for attempt in attempts]
        try:
            answers = await store.acquire_all(asks)
        except (asyncio.CancelledError, OutcomeUnknown):
            for ask in asks:
                self._returns.soon(Claim(ask.name, ask.id, "", echo=True))
            raise
        except NotReplicated:
            for ask in asks:
                await self._returns.now(Claim(ask.name, ask.id, "", echo=False))
            raise
        holds = []
        for ask, answer, attempt in zip(asks, answers, attempts, strict=False):
            hold = Hold(ask.id, attempt.wish, answer, self._parts.session)
            hold.echo = answer.echo
            holds.append(hold)
        if all(hold.left_s(self._parts.now()) > 0.0 for hold in holds):
            return holds
        for hold in holds:
            self._returns.soon(hold.claim())
        return []

    async def outcome(self, bid: Bid) -> None:
        """Wait until `bid` is granted or has come to nothing.

        Cancelled, it leaves the bid as it is, for somebody else to wait for.
        """
        while bid.is_open:
            bid.bell = asyncio.get_running_loop().create_future()
            await bid.bell

    def take(self, bid: Bid, wish: Wish) -> Hold | None:
        """What has become of `bid`; None if it came to nothing: bid again."""
        self._bids.pop(bid.ask.id, None)
        if bid.failure is not None:
            raise bid.failure
        if bid.granted is None:
            return None
        hold = Hold(bid.ask.id, wish, bid.granted, self._parts.session)
        hold.echo = bid.echo or bid.in_flight > 0
        if hold.left_s(hold.began_at) > 0.0:
            return hold
        # Granted, but it cannot be trusted any more (etcd-io/etcd#11456).
        self._returns.soon(bid.claim())
        return None

    def abandon(self, bid: Bid) -> None:
        """Nobody wants `bid` any more: out of the line, or the lock back."""
        self._bids.pop(bid.ask.id, None)
        if bid.granted is not None or not bid.is_void:
            self._returns.soon(bid.claim())

    def granted(self, notice: GrantNotice) -> bool:
        """The server says that a bid holds its lock. False if there is no such bid."""
        bid = self._bids.get(notice.id)
        if bid is None:
            return False
        bid.notice = notice
        self._read_notice(bid)
        return True

    def look(self, ident: str, in_s: float) -> None:
        """Ask again for this bid in `in_s` seconds at the latest."""
        bid = self._bids.get(ident)
        if bid is not None:
            self._look_by(bid, self._parts.now() + in_s + AFTER_THE_END_S)

    def look_at_all(self) -> None:
        """News were missed: ask again for every bid, now."""
        for bid in self._bids.values():
            self._look_by(bid, self._parts.now())

    def session_lost(self, session: str) -> None:
        """These places are gone with their session; who leads bids anew."""
        for bid in self._bids.values():
            where = bid.granted or bid.queued
            if where is not None and where.session == session:
                bid.is_void = True
                bid.granted = None
                bid.ring()

    def give_up_all(self) -> None:
        """The manager closes: nobody waits any longer."""
        for bid in tuple(self._bids.values()):
            self.abandon(bid)
            bid.is_void = True
            bid.ring()

    async def tick(self) -> float:
        now = self._parts.now()
        for bid in tuple(self._waiting()):
            if bid.look_at <= now and not bid.in_flight:
                bid.look_at = now + self._fallback_s()
                self._parts.tasks.spawn(self._look(bid), "look at a lock")
            if not bid.is_told_of and now >= bid.since + self._long_s:
                self._tell(bid, now)
        self._next_look_at = min(map(self._due, self._waiting()), default=float("inf"))
        return min(max(0.0, self._next_look_at - now), IDLE_S)

    def _waiting(self) -> Iterator[Bid]:
        return (b for b in self._bids.values() if b.is_open and b.queued is not None)

    def _due(self, bid: Bid) -> float:
        told_at = float("inf") if bid.is_told_of else bid.since + self._long_s
        return min(bid.look_at, told_at)

    @property
    def _long_s(self) -> float:
        return self._parts.config.long_wait_s

    def _fallback_s(self) -> float:
        """Asking for nothing, in case that news were lost without a trace."""
        ttl_s = self._parts.session.terms.ttl_s
        return ttl_s * (0.75 + 0.25 * self._parts.chance.random())

    def _look_by(self, bid: Bid, when: float) -> None:
        bid.look_at = min(bid.look_at, when)
        self._plan(bid)

    def _plan(self, bid: Bid) -> None:
        due = self._due(bid)
        if due < self._next_look_at:
            self._next_look_at = due
            self._duty.wake()

    def _new_ask(self, attempt: Attempt) -> Ask:
        wish = attempt.wish
        return Ask(
            wish.name,
            f"{self._prefix}{next(self._ids)}",
            wish.shared,
            not wish.is_try,
            wish.timeout_s or 0.0,
            owner_id(attempt.owner),
            wish.label,
            "",
            wish.priority * PRIORITY_S,
            wish.weight,
            wish.permits,
            self._parts.confirm(wish) if wish.replicas else None,
        )

    async def _send(self, bid: Bid, attempt: Attempt | None = None) -> None:
        if is_armed():
            await failpoint("locks.before_acquire")
        ask = bid.ask
        if bid.queued is not None:
            ask = replace(ask, under=bid.queued.session)
        bid.in_flight += 1
        try:
            answer = await self._parts.store.acquire(ask)
        finally:
            bid.in_flight -= 1
        if is_armed():
            await failpoint("locks.after_acquire")
        if isinstance(answer, Granted):
            bid.echo = bid.echo or answer.echo
            bid.granted = bid.granted or answer
            bid.ring()
            return
        if isinstance(answer, Busy):
            if attempt is not None:
                attempt.held_by = answer.holder
            raise LockNotGranted(f"{shown(ask.name)!r} is taken.")
        bid.echo = bid.echo or answer.echo
        bid.queued = answer
        if attempt is not None:
            attempt.contended = True
            attempt.held_by = answer.holder
        look_s = self._fallback_s()
        if answer.look_in_s is not None:
            look_s = min(look_s, answer.look_in_s + AFTER_THE_END_S)
        self._look_by(bid, self._parts.now() + look_s)
        # The news of the grant may have overtaken this answer.
        self._read_notice(bid)

    async def _look(self, bid: Bid) -> None:
        try:
            await self._send(bid)
        except SessionLostError:
            # The answer that gave it this place came after everybody had been told.
            bid.is_void = True
            bid.ring()
        except NotReplicated as error:
            await self._returns.now(bid.claim())
            bid.failure, bid.is_void = error, True
            bid.ring()
        except QuorateError:
            self._look_by(bid, self._parts.now() + AGAIN_S)

    def _read_notice(self, bid: Bid) -> None:
        if bid.notice is None or bid.queued is None or not bid.is_open:
            return
        if bid.ask.confirm is not None:
            # The news are not enough: asked again, replicas have to know it.
            bid.notice = None
            self._look_by(bid, self._parts.now())
            return
        bid.granted = Granted(
            token=bid.notice.token,
            last_token=bid.notice.last_token,
            tag=bid.queued.tag,
            session=bid.queued.session,
            granted_at=bid.queued.sighting.not_later_than(bid.notice.server_s),
        )
        bid.ring()

    def _tell(self, bid: Bid, now: float) -> None:
        bid.is_told_of = True
        held_by = bid.queued.holder if bid.queued else None
        self._parts.emit(
            LockWaitLong(
                lock=shown(bid.ask.name),
                label=bid.ask.label,
                waited_s=now - bid.since,
                held_by=str(held_by or ""),
            )
        )
