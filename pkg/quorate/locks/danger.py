"""The early warning: which holds will be lost soon unless they are renewed.

Looks at memory only. A session that is renewed in time never comes into danger, so this
role wakes about once in a renewal and finds nothing.
"""

from __future__ import annotations

from quorate.core.lifecycle import Duty
from quorate.lease.lease import DANGER
from quorate.lease.session import Membership

from .bid import Parts
from .events import LockEndangered
from .hold import Hold
from .holdings import Holdings

IDLE_S = 3600.0
NEVER = float("inf")


class DangerWatch:
    """A role: tells of each hold once when less than a fifth of its time is left."""

    name = "lock danger watch"

    def __init__(self, parts: Parts, holdings: Holdings) -> None:
        self._parts = parts
        self._holdings = holdings
        self._told: set[str] = set()
        self._due = NEVER
        self._duty: Duty = parts.tasks.employ(self)

    def entered(self, hold: Hold, now: float) -> None:
        """Watch over this hold too; costs nothing while a look is planned before."""
        if self._due == NEVER or (
            hold.hard_until is not None and _own_danger(hold, now) < self._due
        ):
            self._due = now
            self._duty.wake()

    async def tick(self) -> float:
        now = self._parts.now()
        # Set first: who enters meanwhile compares with it.
        self._due = NEVER
        endangered: set[str] = set()
        for member in self._parts.session.memberships():
            if now < member.lease.danger_at:
                self._due = min(self._due, member.lease.danger_at)
                continue
            self._due = min(self._due, member.lease.trusted_until + 0.01)
            endangered |= self._tell_all(member, now)
        for hold in self._holdings.timed():
            danger_at = _own_danger(hold, now)
            if now < danger_at:
                self._due = min(self._due, danger_at)
            else:
                endangered.add(hold.id)
                self._tell(hold, now)
        self._told &= endangered
        return min(max(0.0, self._due - now), IDLE_S)

    def _tell_all(self, member: Membership, now: float) -> set[str]:
        holds = self._holdings.of_session(member.name)
        for hold in holds:
            self._tell(hold, now)
        return {hold.id for hold in holds}

    def _tell(self, hold: Hold, now: float) -> None:
        left_s = hold.left_s(now)
        if hold.id in self._told or not hold.entries or left_s <= 0.0:
            return
        self._told.add(hold.id)
        self._parts.emit(
            LockEndangered(
                lock=hold.wish.name,
                label=hold.wish.label,
                token=hold.token,
                left_s=left_s,
            )
        )


def _own_danger(hold: Hold, now: float) -> float:
    """When less than a fifth of the hold's own time is left; never without one."""
    if hold.hard_until is None or hold.hard_until <= now:
        return NEVER
    return hold.hard_until - (hold.wish.timeout_s or 0.0) * DANGER
