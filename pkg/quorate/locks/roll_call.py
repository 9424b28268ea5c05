"""Reminding a server of what is held here, and giving back what is not.

Replication is asynchronous: a replica that takes over may miss the last grants, and
know holds that were given back. After every lost connection this process compares; what
the server has forgotten is taken up again with its own token, or lost at once if
somebody else has come since. What nobody here knows of is given back.
"""

from __future__ import annotations

import asyncio
from collections import deque

from quorate.core.errors import MissingCapability, QuorateError
from quorate.core.lifecycle import Duty
from quorate.lease.session import Membership

from .answers import Held, Roll
from .bid import Parts
from .desk import LockDesk
from .events import LocksReasserted
from .hold import Hold, owner_id
from .model import LockType
from .returning import Claim, Returns
from .store import RollStore
from .waiting import Bids

LOOKS_S = (0.0, 1.0, 3.0, 7.0)
"""After a lost connection: the others may follow to the new server a little later."""

STRAY_S = 5.0
"""So long a claim must be unknown here: longer than any request is under way."""

IDLE_S = 3600.0
AGAIN_S = 0.5
AT_ONCE = 50


class RollCall:
    """A role: compares what is held here with what the server knows, when in doubt."""

    name = "lock roll call"

    def __init__(
        self,
        parts: Parts,
        store: RollStore,
        desk: LockDesk,
        bids: Bids,
        returns: Returns,
    ) -> None:
        self._parts = parts
        self._store = store
        self._desk = desk
        self._bids = bids
        self._returns = returns
        self._runs: dict[str, str] = {}
        self._strays: dict[str, dict[str, float]] = {}
        self._looks: deque[float] = deque()
        self._duty: Duty = parts.tasks.employ(self)

    def doubt(self) -> None:
        """A connection was lost: the server may be another one now."""
        now = self._parts.now()
        self._looks = deque(now + after_s for after_s in LOOKS_S)
        self._duty.wake()

    async def tick(self) -> float:
        now = self._parts.now()
        is_due = False
        while self._looks and self._looks[0] <= now:
            self._looks.popleft()
            is_due = True
        if is_due or self._parts.config.strict:
            members = self._parts.session.memberships()
            done = await asyncio.gather(
                *(self._compare(member, in_doubt=is_due) for member in members)
            )
            if not all(done):
                self._looks.appendleft(now + AGAIN_S)
        rest_s = self._looks[0] - self._parts.now() if self._looks else IDLE_S
        if self._parts.config.strict:
            rest_s = min(rest_s, self._parts.session.terms.renew_every_s)
        return max(0.0, rest_s)

    async def _compare(self, member: Membership, *, in_doubt: bool) -> bool:
        """False if it has to be tried again."""
        known = self._runs.get(member.tag, "")
        before = {hold.id for hold in self._desk.holdings.of_session(member.name)}
        asked = "" if in_doubt or self._strays.get(member.tag) else known
        try:
            roll = await self._store.roll(member.tag, member.name, asked)
            if roll.is_as_known:
                return True
            if not roll.is_alive:
                self._parts.session.lost(member, "the server had ended it")
                return True
            await self._remind(member, roll, before, is_new=roll.run != known)
        except QuorateError:
            return False
        self._runs[member.tag] = roll.run
        self._give_back(member.tag, roll)
        return True

    async def _remind(
        self, member: Membership, roll: Roll, before: set[str], *, is_new: bool
    ) -> None:
        """Tell the server of what it does not know; what it refuses is lost."""
        if not is_new:
            for hold in self._held(before - roll.claims.keys()):
                self._desk.lose(hold, "the server had ended it", is_claimed=False)
            return
        doubtful = [
            hold.id
            for hold in self._held(before)
            if hold.id not in roll.claims or _is_upgraded(hold)
        ]
        told = lost = 0
        for at in range(0, len(doubtful), AT_ONCE):
            holds = self._held(set(doubtful[at : at + AT_ONCE]))
            facts = [_facts(hold, self._parts.now()) for hold in holds]
            kept = await self._store.reassert(member.tag, member.name, facts)
            told += len(holds)
            for hold, is_kept in zip(holds, kept, strict=True):
                if not is_kept:
                    lost += 1
                    why = "a server that took over did not know of it"
                    self._desk.lose(hold, why, is_claimed=False)
        if told:
            self._parts.emit(LocksReasserted(told=told, lost=lost))

    def _held(self, ids: set[str]) -> list[Hold]:
        """Those of them that are held now."""
        holds = (self._desk.holdings.find(ident) for ident in ids)
        return [hold for hold in holds if hold is not None and not hold.lost]

    def _give_back(self, tag: str, roll: Roll) -> None:
        """What the server thinks is claimed by this process, and nobody here knows."""
        now = self._parts.now()
        strays = {
            ident: name for ident, name in roll.claims.items() if not self._knows(ident)
        }
        before = self._strays.get(tag, {})
        since = {ident: before.get(ident, now) for ident in strays}
        for ident, name in strays.items():
            if now - since[ident] >= STRAY_S:
                del since[ident]
                self._returns.soon(Claim(name, ident, "", echo=False))
        self._strays[tag] = since

    def _knows(self, ident: str) -> bool:
        return (
            self._desk.holdings.find(ident) is not None
            or ident in self._bids
            or ident in self._returns
        )


async def call_roll(
    parts: Parts, desk: LockDesk, bids: Bids, returns: Returns
) -> RollCall | None:
    """The role for this store; None if it forgets nothing.

    Raises `MissingCapability` where `strict` is asked for and cannot be had.
    """
    store, strict = parts.store, parts.config.strict
    if not isinstance(store, RollStore):
        if strict:
            raise MissingCapability(
                "These locks cannot be strict.",
                "This backend's servers agree on each grant, or its store does not "
                "offer it.",
                "Leave strict out.",
            )
        return None
    if strict:
        await store.be_strict(parts.session.terms.ttl_s)
    return RollCall(parts, store, desk, bids, returns)


def _is_upgraded(hold: Hold) -> bool:
    return hold.wish.lock_type is LockType.SHARED and not hold.shared


def _facts(hold: Hold, now: float) -> Held:
    hard_s = 0.0
    if hold.hard_until is not None:
        hard_s = max(0.001, hold.hard_until - now)
    return Held(
        name=hold.wish.name,
        id=hold.id,
        shared=hold.shared,
        token=hold.token,
        last_token=hold.last_token,
        hard_s=hard_s,
        held_s=now - hold.began_at,
        owner=owner_id(hold.owner),
        label=hold.wish.label,
        weight=hold.wish.weight,
    )
