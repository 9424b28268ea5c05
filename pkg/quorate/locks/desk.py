"""Taking and giving back: what ties the tasks of this process to the server's line.

An exclusive lock that is free here costs one request. If a task of this process holds
it or leads, others stand in line behind it; when it comes back, the next of them gets
it with the next token and without a request, unless other processes are due.
"""

from __future__ import annotations

import asyncio

from quorate.core.errors import LockNotGranted, QuorateError, SessionLostError
from quorate.core.failpoint import failpoint

from .ahead import Ahead
from .answers import Was
from .bid import Attempt, Bid, Parts
from .cohort import Gate, Passing, Turn
from .deadlock_watch import DeadlockWatch
from .holdings import Holdings
from .lock import Hold
from .returning import Claim, Returns
from .waiting import Bids
from .wish import Wish

MOST_TRIES = 3
ALL_OUT_S = 2.0


class LockDesk:
    """Where blocks get their holds, and the lines of this process."""

    def __init__(self, parts: Parts, bids: Bids, returns: Returns) -> None:
        self._parts = parts
        self._bids = bids
        self._returns = returns
        self._ahead = Ahead(parts, bids)
        self._passing = Passing(parts.config.passing_s)
        self._gates: dict[str, Gate] = {}
        self._closed = False
        self.holdings = Holdings(parts)
        self._watch = DeadlockWatch(parts, self.holdings, self._gates)

    async def take(self, wish: Wish) -> Hold:
        """The lock, once it is this caller's turn.

        Raises `LockNotGranted`, `DeadlockError`, `LockLostError` (entering again what
        is lost already), `SessionLostError`, and what the store raises.
        """
        self._check_open(wish)
        owner: object = wish.owner or asyncio.current_task()
        attempt = Attempt(wish, owner, self._parts.now())
        held = self.holdings.owned(owner, wish.name)
        if held is not None:
            self.holdings.enter_again(held, attempt)
            return held
        tally = self.holdings.tally
        tally.waiting += 1
        try:
            if wish.wait_s:
                async with asyncio.timeout(wish.wait_s):
                    hold = await self._obtain(attempt)
            else:
                hold = await self._obtain(attempt)
        except LockNotGranted:
            raise
        except TimeoutError as error:
            raise self.holdings.denied(attempt) from error
        finally:
            tally.waiting -= 1
            if attempt.contended:
                self._watch.ends(attempt)
        self.holdings.enter(hold, attempt)
        self.holdings.ends_by(hold, self._hard_end)
        if not hold.shared:
            gate = self._gates[wish.name]
            gate.hold = hold
            self._ahead.plan(gate)
        return hold

    async def give_back(self, hold: Hold) -> Was:
        """A block has ended. Returns "unknown" if the server says it was not held."""
        if hold.left_s(self._parts.now()) <= 0.0:
            # The loop stood still and nobody could stop the block in time.
            self.lose(hold, "it was not renewed in time", is_claimed=True)
        if not self.holdings.leave(hold):
            return "held"
        if hold.lost:
            return await self._leave(hold) if hold.is_claimed else "held"
        if self._pass_on(hold):
            return "held"
        self._let_go(hold)
        was = await self._leave(hold)
        if was == "unknown" and hold.left_s(self._parts.now()) > 0.0:
            self.holdings.tell_lost(hold, "the server had ended it")
            return was
        # If it ended while it was being given back, the block was over in time.
        return "held"

    def lose(self, hold: Hold, why: str, *, is_claimed: bool) -> None:
        """A hold has ended against the will of who is inside.

        `is_claimed`: on the server it stands still and has to be ended.
        """
        if hold.lost:
            return
        hold.is_claimed = is_claimed
        hold.lose(why)
        self.holdings.remove(hold)
        if not hold.entries:
            # On its way to the next task here, who will see that it is lost.
            if is_claimed:
                self._returns.soon(_claim(hold))
            return
        self.holdings.tell_lost(hold, why)
        if not hold.shared:
            self._hold_is_over(hold.wish.name)

    def session_lost(self, session: str) -> None:
        """All holds of a session are over."""
        for hold in self.holdings.of_session(session):
            self.lose(hold, "the session ended", is_claimed=False)

    async def close(self) -> None:
        """Nobody may enter any more; stop the blocks and wait for them, for a while."""
        self._closed = True
        self._watch.close()
        for hold in self.holdings.all():
            self.lose(hold, "the lock manager was closed", is_claimed=True)
        self._bids.give_up_all()
        await self.holdings.all_out(ALL_OUT_S)

    async def _obtain(self, attempt: Attempt) -> Hold:
        wish = attempt.wish
        if wish.shared:
            return await self._lead(None, attempt, None)
        gate = self._gates.get(wish.name)
        if gate is None:
            gate = self._gates[wish.name] = Gate()
            return await self._lead(gate, attempt, None)
        attempt.contended = True
        if wish.is_try:
            raise self.holdings.denied(attempt)
        turn = await self._stand(gate, attempt)
        if not isinstance(turn, Hold):
            return await self._lead(gate, attempt, turn)
        if turn.left_s(self._parts.now()) > 0.0:
            return turn
        self.lose(turn, "it was not renewed in time", is_claimed=True)
        gate.hold = None
        bid = self._fitting(self._ahead.end(gate), attempt)
        return await self._lead(gate, attempt, bid)

    async def _stand(self, gate: Gate, attempt: Attempt) -> Turn:
        """Wait in the line of this process."""
        place = gate.stand(attempt)
        self._ahead.plan(gate)
        try:
            self._watch.begins(attempt)
            return await place.turn
        except BaseException:
            turn = place.turn
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._hand_on(attempt.wish.name, turn.result())
            else:
                gate.leave(place)
                if gate.first() is None and (bid := self._ahead.end(gate)) is not None:
                    self._bids.abandon(bid)
            raise

    async def _lead(self, gate: Gate | None, attempt: Attempt, bid: Bid | None) -> Hold:
        """Stand in the server's line, for all who stand behind in this process."""
        wish = attempt.wish
        hold = None
        if gate is not None:
            gate.leader = attempt
        try:
            while hold is None:
                self._check_open(wish)
                attempt.heed_doom()
                attempt.bid = bid = bid or await self._ask(attempt)
                if bid.is_open:
                    self._watch.begins(attempt)
                hold = await self._bids.outcome(bid, wish)
                bid = None
        except BaseException:
            if gate is not None:
                self._call_next(wish.name, bid)
            elif bid is not None:
                self._bids.abandon(bid)
            raise
        return hold

    async def _ask(self, attempt: Attempt) -> Bid:
        attempt.tries += 1
        if attempt.wish.timeout_s is not None and attempt.tries > MOST_TRIES:
            raise LockNotGranted(
                f"The lock {attempt.wish.name!r} was over before it could be used.",
                f"timeout_s is {attempt.wish.timeout_s:g}, and the server is slow.",
                "Give it more time.",
            )
        try:
            return await self._bids.ask(attempt)
        except LockNotGranted as error:
            raise self.holdings.denied(attempt) from error

    def _call_next(self, name: str, bid: Bid | None) -> None:
        """Who led is gone; `bid` is its place in the server's line, if it has one."""
        gate = self._gates[name]
        place = gate.first()
        bid = self._fitting(bid, place.attempt if place else None)
        if place is None:
            del self._gates[name]
        else:
            gate.call(place, bid)

    def _fitting(self, bid: Bid | None, attempt: Attempt | None) -> Bid | None:
        """`bid` if this attempt can go on with it; otherwise it is abandoned."""
        if bid is None:
            return None
        if attempt and not bid.is_void and bid.wish.timeout_s == attempt.wish.timeout_s:
            return bid
        self._bids.abandon(bid)
        return None

    def _hand_on(self, name: str, turn: Turn) -> None:
        """Who had its turn was cancelled before it could take it."""
        if not isinstance(turn, Hold):
            self._call_next(name, turn)
        elif turn.lost:
            self._hold_is_over(name)
        elif not self._pass_on(turn):
            self._let_go(turn)
            self._returns.soon(_claim(turn))

    def _pass_on(self, hold: Hold) -> bool:
        """Hand the lock to the next task here, with the next token. No request."""
        if hold.shared or hold.wish.timeout_s is not None:
            return False
        now = self._parts.now()
        gate = self._gates[hold.wish.name]
        place = gate.first()
        if (
            place is None
            or place.attempt.wish.timeout_s is not None
            or hold.left_s(now) <= 0.0
            or not self._passing.is_allowed(
                hold.token, hold.last_token, hold.began_at, now
            )
        ):
            return False
        hold.token += 1
        hold.wish = place.attempt.wish
        hold.listeners.clear()
        self.holdings.tally.passed += 1
        gate.call(place, hold)
        return True

    def _let_go(self, hold: Hold) -> None:
        """This process wants it no more; whoever is next here asks the server anew.

        That ask leaves in the same write as the return, and after it.
        """
        self.holdings.remove(hold)
        if not hold.shared:
            self._hold_is_over(hold.wish.name)

    def _hold_is_over(self, name: str) -> None:
        gate = self._gates[name]
        gate.hold = None
        self._call_next(name, self._ahead.end(gate))

    async def _leave(self, hold: Hold) -> Was:
        claim = _claim(hold)
        try:
            await failpoint("locks.before_leave")
            was = await self._parts.store.leave(claim.name, claim.id, echo=claim.echo)
        except asyncio.CancelledError:
            self._returns.soon(claim)
            raise
        except QuorateError as error:
            self._returns.later(claim, error.what)
            return "held"
        await failpoint("locks.after_leave")
        return was

    def _hard_end(self, hold: Hold) -> None:
        self.lose(hold, "its timeout is over", is_claimed=True)

    def _check_open(self, wish: Wish) -> None:
        if self._closed:
            raise SessionLostError(
                f"The lock {wish.name!r} cannot be taken.",
                "The lock manager is closed.",
                "Open a new one.",
            )


def _claim(hold: Hold) -> Claim:
    return Claim(hold.wish.name, hold.id, hold.session_name, hold.echo)
