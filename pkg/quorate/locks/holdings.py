"""What this process holds, who of its tasks is inside, and the counts of it all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.core.errors import DeadlockError, LockNotGranted

from .bid import Attempt, Parts
from .events import LockDenied, LockLost, LockOrderInverted
from .faults import lost_error
from .hold import Hold, owner_id
from .model import HolderFacts, LockStats, LockType, shown
from .order import LockOrder
from .tally import Tally


class Holdings:
    """The holds of one lock manager."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._holds: dict[str, Hold] = {}
        self._owned: dict[tuple[object, str], Hold] = {}
        self._timed: dict[str, Hold] = {}
        self._readers: dict[str, Hold] = {}
        self._inside = 0
        self._all_out = asyncio.Event()
        self._all_out.set()
        self._order = LockOrder() if parts.config.warn_of_order else None
        self.tally = Tally()

    def find(self, ident: str) -> Hold | None:
        """The hold with this id."""
        return self._holds.get(ident)

    def owned(self, owner: object, name: str) -> Hold | None:
        """What this owner holds under this name."""
        return self._owned.get((owner, name))

    def reader(self, name: str) -> Hold | None:
        """The latest hold of readers of this name."""
        return self._readers.get(name)

    def of_session(self, session: str) -> list[Hold]:
        """All holds that hang on this session."""
        return [h for h in self._holds.values() if h.session_name == session]

    def timed(self) -> list[Hold]:
        """All holds that end by themselves."""
        return list(self._timed.values())

    def all(self) -> list[Hold]:
        return list(self._holds.values())

    def enter(self, hold: Hold, attempt: Attempt, now: float) -> None:
        """The owner is inside from now on."""
        if self._order is not None and not attempt.wish.is_try:
            self._see_order(self._order, attempt)
        hold.owner = attempt.owner
        hold.entries = 1
        hold.since = now
        self._owned[attempt.owner, attempt.wish.name] = hold
        self._holds[hold.id] = hold
        if hold.shared:
            self._readers[attempt.wish.name] = hold
        if not self._inside:
            self._all_out.clear()
        self._inside += 1
        self.tally.entered(attempt, now)

    def join(self, hold: Hold, attempt: Attempt, now: float) -> None:
        """A further reader is inside, under the claim of those before it."""
        if self._order is not None and not attempt.wish.is_try:
            self._see_order(self._order, attempt)
        if hold.joined is None:
            hold.joined = {hold.owner}
        hold.joined.add(attempt.owner)
        hold.entries += 1
        self._owned[attempt.owner, attempt.wish.name] = hold
        self.tally.entered(attempt, now)
        self.tally.passed += 1

    def enter_again(self, hold: Hold, attempt: Attempt) -> None:
        """The owner enters once more what it holds, without the server.

        Raises `LockLostError` if it is lost, and for a kind that excludes what its own
        owner holds `DeadlockError`, or `LockNotGranted` if it would not wait.
        """
        wish = attempt.wish
        if hold.lost:
            raise lost_error(wish.name, hold.lost)
        again = wish.lock_type is LockType.REENTRANT and not hold.shared
        if not again and not (wish.shared and hold.shared):
            if wish.is_try:
                raise self.denied(attempt)
            raise DeadlockError(
                f"The lock {shown(wish.name)!r} would wait for itself.",
                f"Its owner holds it already ({hold.wish.lock_type.value}) and asks "
                f"for it again ({wish.lock_type.value}).",
                "Use LockType.REENTRANT to enter again, or pass the grant on.",
            )
        hold.entries += 1
        self.tally.reentered += 1

    def leave(self, hold: Hold, now: float) -> bool:
        """One block of the owner has ended. True if it was the last."""
        hold.entries -= 1
        if hold.joined is not None:
            self._see_who_left(hold, hold.joined)
        if hold.entries:
            return False
        self._owned.pop((hold.owner, hold.wish.name), None)
        self.tally.left(hold, now)
        self._inside -= 1
        if not self._inside:
            self._all_out.set()
        return True

    def _see_who_left(self, hold: Hold, joined: set[object]) -> None:
        """Who has left has to ask anew; who waits to be alone may be alone now."""
        inside = {block.owner for block in hold.blocks}
        for owner in joined - inside:
            self._owned.pop((owner, hold.wish.name), None)
        joined &= inside
        if inside and hold.owner not in inside:
            hold.owner = next(iter(inside))
        if hold.bell is not None:
            hold.bell.set()

    def _see_order(self, order: LockOrder, attempt: Attempt) -> None:
        """Tell if what the task holds already was once taken inside of this."""
        held = {
            hold.wish.name
            for hold in self._holds.values()
            if any(block.task is attempt.task for block in hold.blocks)
        }
        by = attempt.wish.label or owner_id(attempt.owner)
        for each in order.taken(attempt.wish.name, sorted(held), by):
            self._parts.emit(
                LockOrderInverted(
                    first=shown(each.first),
                    second=shown(each.second),
                    by=by,
                    before=each.before,
                )
            )

    def remove(self, hold: Hold) -> None:
        """This process has it no more."""
        self._holds.pop(hold.id, None)
        if self._readers.get(hold.wish.name) is hold:
            del self._readers[hold.wish.name]
        if hold.timer is not None:
            self._timed.pop(hold.id, None)
            hold.timer.cancel()

    def ends_by(self, hold: Hold, end: Callable[[Hold], None]) -> None:
        """Let `end` be called when the hold's own time is over."""
        if hold.hard_until is not None and hold.timer is None:
            self._timed[hold.id] = hold
            hold.timer = asyncio.get_running_loop().call_later(
                max(0.0, hold.hard_until - self._parts.now()), end, hold
            )

    def tell_lost(self, hold: Hold, why: str) -> None:
        """Count and tell that somebody inside has lost its lock."""
        self.tally.lost(hold.wish)
        self._parts.emit(
            LockLost(
                lock=shown(hold.wish.name),
                label=hold.wish.label,
                token=hold.token,
                held_s=self._parts.now() - hold.since,
                why=why,
            )
        )

    def denied(self, attempt: Attempt) -> LockNotGranted:
        """Count and tell that somebody waited in vain; the error to raise."""
        wish, now = attempt.wish, self._parts.now()
        here = [h for h in self._holds.values() if h.wish.name == wish.name]
        held_by = str((here[0].facts(now) if here else attempt.held_by) or "")
        self.tally.denied(wish)
        self._parts.emit(
            LockDenied(
                lock=shown(wish.name),
                label=wish.label,
                waited_s=now - attempt.started,
                held_by=held_by,
            )
        )
        return LockNotGranted(
            f"{shown(wish.name)!r} was not granted within {wish.wait_s or 0:g} s.",
            f"When last seen it was held by {held_by}." if held_by else "It is taken.",
            "Wait longer with wait_s=…, or ask who holds it: await manager.explain(…).",
        )

    async def all_out(self, within_s: float) -> None:
        """Wait until nobody is inside, or until the time is over."""
        try:
            async with asyncio.timeout(within_s):
                await self._all_out.wait()
        except TimeoutError:
            return

    def facts(self) -> list[HolderFacts]:
        """What is held now, by whom in this process."""
        now = self._parts.now()
        return [hold.facts(now) for hold in self._holds.values() if hold.entries]

    def stats(self) -> LockStats:
        return self.tally.stats(len(self._holds))
