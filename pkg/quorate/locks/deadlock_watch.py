"""The watch that finds circles through the waits of this process, and breaks them.

An owner that waits for long with something in hand is noted for all processes to read,
once a wait; only what looks like a circle is asked about, and only the process of whom
has to give way acts. While nobody waits so, the server is asked nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quorate.core.errors import DeadlockError, StoreError
from quorate.core.fence import is_fenced
from quorate.core.lifecycle import Duty

from .bid import Attempt, Parts
from .cohort import Gate
from .deadlock import Deadlock, Picture, find_deadlocks
from .events import DeadlockBroken
from .hold import owner_id
from .holdings import Holdings
from .model import shown
from .own_waits import OwnWaits, own_error, shown_circle
from .store import WaitStore

IDLE_S = 3600.0
AGAIN_S = 0.5
JITTER = 0.2
SHORTEST_REST_S = 0.05
CONFIRMED_WITHIN_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
MOST_DOUBTS_KEPT = 256


class DeadlockWatch:
    """A role, one a lock manager."""

    name = "deadlock watch"

    def __init__(
        self, parts: Parts, holdings: Holdings, gates: Mapping[str, Gate]
    ) -> None:
        self._parts = parts
        self._store = parts.waits
        self._tally = holdings.tally
        self._gates = gates
        self._waits = OwnWaits(parts.session, holdings, gates)
        self._heard: dict[str, int] = {}
        self._doubts = 0
        self._is_doubted = False
        self._is_noted = False
        self._is_awake = False
        self._unlisten: Callable[[], None] | None = None
        self._duty: Duty = parts.tasks.employ(self)

    def begins(self, attempt: Attempt) -> None:
        """The running task has to wait from now on, or elsewhere than before.

        Raises `DeadlockError` if tasks of this process would wait in a circle by that.
        """
        if not is_fenced() or attempt.wish.weight:
            # Nobody waits for who holds nothing; who waits for permits waits for any
            # of their holders, not for all: what looks like a circle there is none.
            return
        wait = self._waits.begins(attempt)
        circle = self._waits.circle(attempt)
        if circle:
            raise self._told(attempt, own_error(circle), shown_circle(circle))
        share = 1.0 + JITTER * self._parts.chance.random()
        patience_s = self._parts.config.deadlock_timeout_s * share
        wait.look_at = self._parts.now() + patience_s
        if not self._is_awake and self._store is not None:
            self._is_awake = True
            self._duty.wake()

    def ends(self, attempt: Attempt) -> None:
        """It waits no longer."""
        self._waits.ends(attempt)

    def close(self) -> None:
        """Hear of no more doubts."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None

    async def tick(self) -> float:
        if self._store is None:
            return IDLE_S
        if self._is_due():
            try:
                await self._look(self._store)
            except StoreError:
                self._look_again()
        self._is_awake = bool(self._waits) or self._is_noted
        return self._rest_s() if self._is_awake else IDLE_S

    def _is_due(self) -> bool:
        """Is there something to look for, or to take back?"""
        now, is_due = self._parts.now(), self._waits.have_moved()
        for wait in self._waits:
            if wait.look_at <= now:
                # Once is enough: of a circle, the last to look sees all of it.
                wait.look_at, is_due = float("inf"), True
        if self._is_doubted or (self._is_noted and not self._waits):
            return True
        return is_due and (self._is_noted or bool(self._waits.notes()))

    def _rest_s(self) -> float:
        """Until the next look, or to see whether a noted wait is over or elsewhere."""
        longest_s = max(self._parts.config.deadlock_timeout_s, SHORTEST_REST_S)
        next_at = min((wait.look_at for wait in self._waits), default=float("inf"))
        return min(longest_s, max(0.0, next_at - self._parts.now()))

    async def _look(self, store: WaitStore) -> None:
        if self._unlisten is None:
            self._unlisten = await store.listen(self._doubted)
        self._is_doubted = False
        first = await self._compare(store)
        found = find_deadlocks(first.edges(), first.notes)
        if not found:
            return
        self._look_again()
        others = {each.victim.session for each in found if not self._is_mine(each)}
        if others:
            await store.doubt(others, self._next_doubt())
        sessions = {s for each in found if self._is_mine(each) for s in each.sessions}
        if sessions:
            second = await self._confirmed(store, sessions)
            kept = first.edges() & second.edges()
            for each in find_deadlocks(kept, second.notes):
                if each.sessions <= sessions and self._is_mine(each):
                    await self._give_way(store, each)

    async def _confirmed(self, store: WaitStore, sessions: set[str]) -> Picture:
        """A reading for which all of these have said anew what they wait for.

        Without the notes of who has not, so that nothing rests on them.
        """
        others = {session for session in sessions if not self._is_own(session)}
        number = self._next_doubt()
        if others:
            await store.doubt(others, number)
        silent = others
        for rest_s in CONFIRMED_WITHIN_S:
            await self._parts.session.clock.sleep(rest_s if others else 0.0)
            picture = await self._compare(store)
            silent = {s for s in others if not self._has_heard(picture, s, number)}
            if not silent:
                break
        notes = tuple(note for note in picture.notes if note.session not in silent)
        return Picture(notes, picture.lines, picture.heard)

    def _has_heard(self, picture: Picture, session: str, number: int) -> bool:
        """Gone is an answer too: nothing that it had noted is left."""
        heard = picture.heard.get(session)
        return heard is None or heard.get(self._parts.session.id, 0) >= number

    async def _give_way(self, store: WaitStore, deadlock: Deadlock) -> None:
        wait = self._waits.find(deadlock.victim.ident)
        if wait is None:
            return
        attempt, bid, error = wait.attempt, wait.attempt.bid, deadlock.error()
        if attempt.bell is not None:
            attempt.doom = self._told(attempt, error, str(deadlock))
            attempt.bell.set()
        elif bid is None:
            gate = self._gates.get(attempt.wish.name)
            if gate is not None and gate.refuse(attempt, error):
                self._told(attempt, error, str(deadlock))
        elif await store.give_way(bid.ask.name, bid.ask.id):
            attempt.doom = self._told(attempt, error, str(deadlock))
            bid.is_void = True
            bid.ring()

    def _told(self, attempt: Attempt, error: DeadlockError, told: str) -> DeadlockError:
        """Count and tell that somebody gives way; the error to raise."""
        self._tally.deadlocks += 1
        self._parts.emit(
            DeadlockBroken(
                lock=shown(attempt.wish.name),
                label=attempt.wish.label,
                owner=owner_id(attempt.owner),
                waited_s=self._parts.now() - attempt.started,
                cycle=told,
            )
        )
        return error

    async def _compare(self, store: WaitStore) -> Picture:
        notes = self._waits.notes()
        picture = await store.compare(notes, dict(self._heard))
        self._is_noted = bool(notes)
        return picture

    def _doubted(self, who: str, number: int) -> None:
        if who not in self._heard and len(self._heard) >= MOST_DOUBTS_KEPT:
            del self._heard[next(iter(self._heard))]
        self._heard[who] = max(number, self._heard.get(who, 0))
        self._is_doubted = True
        self._duty.wake()

    def _look_again(self) -> None:
        soon = self._parts.now() + AGAIN_S
        for wait in self._waits:
            wait.look_at = min(wait.look_at, soon)

    def _next_doubt(self) -> int:
        self._doubts += 1
        return self._doubts

    def _is_own(self, session: str) -> bool:
        return session.rpartition(".")[0] == self._parts.session.id

    def _is_mine(self, deadlock: Deadlock) -> bool:
        return deadlock.victim.ident.rpartition("#")[0] == self._parts.session.id
