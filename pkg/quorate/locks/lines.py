"""The lines of this process: its tasks before each lock.

If a task of this process holds an exclusive lock or leads, others stand in line behind
it; when it comes back, the next of them gets it with the next token and without a
request, unless other processes are due.
"""

from __future__ import annotations

from collections.abc import Coroutine

from quorate.core.errors import LockNotGranted, SessionLostError

from .ahead import Ahead
from .bid import Attempt, Bid, Parts
from .cohort import Gate, Passing, Turn
from .deadlock_watch import DeadlockWatch
from .hold import Hold
from .holdings import Holdings
from .model import shown
from .readers import Readers
from .returning import Returns
from .waiting import Bids
from .wish import Wish

MOST_TRIES = 3


class Lines:
    """Who of this process is next, lock by lock."""

    def __init__(
        self, parts: Parts, bids: Bids, returns: Returns, holdings: Holdings
    ) -> None:
        self._parts = parts
        self._bids = bids
        self._returns = returns
        self._holdings = holdings
        self._ahead = Ahead(parts, bids)
        self._passing = Passing(parts.config.passing_s)
        self._gates: dict[str, Gate] = {}
        self._closed = False
        self._watch = DeadlockWatch(parts, holdings, self._gates)
        self._readers = Readers(parts, holdings)

    @property
    def deadlocks(self) -> DeadlockWatch:
        """Who looks whether tasks wait in a circle."""
        return self._watch

    def close(self) -> None:
        """Nobody may stand in line any more."""
        self._closed = True
        self._watch.close()

    def check_open(self, wish: Wish) -> None:
        """Raise `SessionLostError` after `close`."""
        if self._closed:
            raise SessionLostError(
                f"The lock {shown(wish.name)!r} cannot be taken.",
                "The lock manager is closed.",
                "Open a new one.",
            )

    def holds(self, hold: Hold) -> None:
        """Somebody here holds it now; others stand behind."""
        gate = self._gates[hold.wish.name]
        gate.hold = hold
        if gate.line:
            self._ahead.plan(gate)

    def reserve(self, names: list[str]) -> bool:
        """Lead in all these lines at once; False if somebody here does in one."""
        if any(name in self._gates for name in names):
            return False
        self._gates.update((name, Gate()) for name in names)
        return True

    def release(self, names: list[str]) -> None:
        """What was reserved came to nothing: it is the next one's turn to ask."""
        for name in names:
            self._call_next(name, None)

    def let_go(self, hold: Hold) -> None:
        """This process wants it no more; whoever is next here asks the server anew.

        That ask leaves in the same write as the return, and after it.
        """
        self._holdings.remove(hold)
        if hold.has_line:
            self.is_over(hold)

    def is_over(self, hold: Hold) -> None:
        """This process has it no more: it is the next one's turn to ask."""
        if hold.has_line:
            gate = self._gates[hold.wish.name]
            gate.hold = None
            if not gate.line and not gate.is_ahead:
                del self._gates[hold.wish.name]  # The usual case: nobody waits here.
                return
            bid = self._ahead.end(gate) if gate.is_ahead else None
            self._call_next(hold.wish.name, bid)

    def pass_on(self, hold: Hold) -> bool:
        """Hand the lock to the next task here, with the next token. No request."""
        if hold.shared or not hold.has_line or hold.wish.timeout_s is not None:
            return False
        gate = self._gates[hold.wish.name]
        place = gate.first() if gate.line else None
        if place is None:
            return False
        now = self._parts.now()
        if (
            place.attempt.wish.timeout_s is not None
            or hold.left_s(now) <= 0.0
            or place.attempt.wish.replicas > hold.wish.replicas
            or not self._passing.is_allowed(
                hold.token, hold.last_token, hold.began_at, now
            )
        ):
            return False
        hold.token += 1
        hold.wish = place.attempt.wish
        hold.listeners.clear()
        self._holdings.tally.passed += 1
        gate.call(place, hold)
        return True

    def obtain(self, attempt: Attempt) -> Coroutine[None, None, Hold]:
        """A hold, once it is this attempt's turn."""
        wish = attempt.wish
        if wish.may_join:
            return self._readers.obtain(attempt, self._lead(None, attempt, None))
        if wish.asks_itself:
            return self._lead(None, attempt, None)
        gate = self._gates.get(wish.name)
        if gate is None:
            gate = self._gates[wish.name] = Gate()
            return self._lead(gate, attempt, None)
        return self._obtain_behind(gate, attempt)

    async def _obtain_behind(self, gate: Gate, attempt: Attempt) -> Hold:
        """A hold of what others of this process hold or want already."""
        wish = attempt.wish
        if wish.priority and not wish.is_try:
            # Who is urgent does not stand behind the others here: it asks for itself.
            attempt.contended = True
            hold = await self._lead(None, attempt, None)
            hold.has_line = False
            return hold
        attempt.contended = True
        if wish.is_try:
            raise self._holdings.denied(attempt)
        turn = await self._stand(gate, attempt)
        if not isinstance(turn, Hold):
            return await self._lead(gate, attempt, turn)
        if turn.left_s(self._parts.now()) > 0.0:
            return turn
        turn.lose("it was not renewed in time", self._parts.emit)
        self._holdings.remove(turn)
        self._returns.soon(turn.claim())
        gate.hold = None
        bid = self._ahead.end(gate)
        if bid is not None:
            bid = self._fitting(bid, attempt)
        return await self._lead(gate, attempt, bid)

    def waits_no_more(self, attempt: Attempt) -> None:
        """It has what it waited for, or gave up."""
        self._watch.ends(attempt)

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
                self.check_open(wish)
                attempt.heed_doom()
                if bid is None:
                    self._check_tries(attempt)
                    try:
                        bid = await self._bids.ask(attempt)
                    except LockNotGranted as error:
                        raise self._holdings.denied(attempt) from error
                    finally:
                        if attempt.asks_for_others:
                            self._readers.answered(attempt)
                attempt.bid = bid
                if bid.granted is None and not bid.is_void:
                    self._watch.begins(attempt)
                    await self._bids.outcome(bid)
                hold = self._bids.take(bid, wish)
                bid = None
        except BaseException:
            if gate is not None:
                self._call_next(wish.name, bid)
            elif bid is not None:
                self._bids.abandon(bid)
            raise
        return hold

    def _check_tries(self, attempt: Attempt) -> None:
        attempt.tries += 1
        if attempt.wish.timeout_s is not None and attempt.tries > MOST_TRIES:
            raise LockNotGranted(
                f"The lock {shown(attempt.wish.name)!r} was over before it could be "
                "used.",
                f"timeout_s is {attempt.wish.timeout_s:g}, and the server is slow.",
                "Give it more time.",
            )

    def _call_next(self, name: str, bid: Bid | None) -> None:
        """Who led is gone; `bid` is its place in the server's line, if it has one."""
        gate = self._gates[name]
        place = gate.first()
        if bid is not None:
            bid = self._fitting(bid, place.attempt if place else None)
        if place is None:
            del self._gates[name]
        else:
            gate.call(place, bid)

    def _fitting(self, bid: Bid, attempt: Attempt | None) -> Bid | None:
        """`bid` if this attempt can go on with it; otherwise it is abandoned."""
        if attempt and not bid.is_void and bid.wish.suits(attempt.wish):
            return bid
        self._bids.abandon(bid)
        return None

    def _hand_on(self, name: str, turn: Turn) -> None:
        """Who had its turn was cancelled before it could take it."""
        if not isinstance(turn, Hold):
            self._call_next(name, turn)
        elif turn.lost:
            self.is_over(turn)
        elif not self.pass_on(turn):
            self.let_go(turn)
            self._returns.soon(turn.claim())
