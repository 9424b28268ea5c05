"""A lock store of a few lines, whose every step can be held up or made to fail."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from quorate.core.clock import Chance
from quorate.core.events import Emit, silent
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Membership, Session
from quorate.locks.answers import (
    Answer,
    Ask,
    Busy,
    Granted,
    GrantNotice,
    Notice,
    Queued,
    Sighting,
    Was,
)
from quorate.locks.manager import LockManager
from quorate.locks.model import Explanation, HolderFacts, LockConfig, LockLine, LockType
from quorate.locks.store import Hear
from quorate.testing.clock import ManualClock

TAG = "{t}"


class Seats:
    """A session store in which every session may enter."""

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        return True

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        return True, 0.0, None, 0

    async def end(self, tag: str, session: str) -> bool:
        return True

    async def dead(self, tag: str) -> list[str]:
        return []

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool:
        return True

    async def close(self) -> None:
        return None


class Line:
    """Exclusive locks, first come first served, in this process's memory.

    A call takes effect between two turns of the loop, as a request does. `faults` are
    raised by the next calls: before the effect if they are told so, else after it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.held: dict[str, str] = {}
        self.lines: dict[str, deque[str]] = {}
        self.given_up: set[str] = set()
        self.asks: dict[str, Ask] = {}
        self.calls: list[tuple[str, str]] = []
        self.faults: deque[tuple[str, bool, Exception]] = deque()
        self.deaf = False
        self.last = 1000
        self._hear: Hear | None = None

    def listen(self, hear: Hear) -> Callable[[], None]:
        self._hear = hear

        def undo() -> None:
            self._hear = None

        return undo

    def fail(self, call: str, error: Exception, *, before: bool) -> None:
        """Let the next `call` fail, before or after it has taken effect."""
        self.faults.append((call, before, error))

    async def acquire(self, ask: Ask) -> Answer:
        me = await self.session.join(TAG)
        now = self.session.clock.monotonic()
        await self._step("acquire", ask.id)
        self.asks[ask.id] = ask
        answer = self._acquire(ask, me, now)
        await self._stepped("acquire")
        return answer

    async def leave(self, name: str, ident: str, *, echo: bool) -> Was:
        await self._step("leave", ident)
        was = self._leave(name, ident)
        if echo:
            self.given_up.add(ident)
        await self._stepped("leave")
        return was

    async def clean(self, tag: str, session: str) -> None:
        return None

    async def explain(self, name: str) -> Explanation:
        return Explanation(name, self.last, (), ())

    async def survey(self, most: int) -> list[LockLine]:
        return [LockLine(name, (by,), 0) for name, by in self.held.items()]

    def count(self, call: str) -> int:
        return sum(1 for made, _ in self.calls if made == call)

    def is_empty(self) -> bool:
        return not self.held and not any(self.lines.values())

    def seize(self, name: str) -> None:
        """Somebody else holds it."""
        self.held[name] = "else"

    def free(self, name: str) -> None:
        """Somebody else gives it back."""
        assert self._leave(name, "else") == "held"

    def tell(self, notice: Notice) -> None:
        if self._hear is not None and not self.deaf:
            self._hear(notice)

    def _acquire(self, ask: Ask, me: str, now: float) -> Answer:
        line = self.lines.setdefault(ask.name, deque())
        holder = self.held.get(ask.name)
        if ask.id in self.given_up:
            return Busy(None)
        if holder in (None, ask.id) and not line:
            self.held[ask.name] = ask.id
            self.last += 32
            return Granted(self.last - 31, self.last, TAG, me, now)
        if holder == ask.id:
            return Granted(self.last - 31, self.last, TAG, me, now)
        facts = HolderFacts(
            ask.name, LockType.EXCLUSIVE, self.last, "else.1", "o", "work", 1.0
        )
        if not ask.wait:
            return Busy(facts)
        if ask.id not in line:
            line.append(ask.id)
        return Queued(TAG, me, Sighting(now, 0.0), None, facts)

    def _leave(self, name: str, ident: str) -> Was:
        line = self.lines.setdefault(name, deque())
        if ident in line:
            line.remove(ident)
            return "waiting"
        if self.held.get(name) != ident:
            return "unknown"
        del self.held[name]
        if line:
            following = self.held[name] = line.popleft()
            self.last += 32
            if following.startswith(self.session.id):
                self.tell(GrantNotice(name, following, self.last - 31, self.last, 0.0))
        return "held"

    async def _step(self, call: str, ident: str) -> None:
        self.calls.append((call, ident))
        self._strike(call, before=True)
        await asyncio.sleep(0)

    async def _stepped(self, call: str) -> None:
        self._strike(call, before=False)
        await asyncio.sleep(0)

    def _strike(self, call: str, *, before: bool) -> None:
        if self.faults and self.faults[0][:2] == (call, before):
            raise self.faults.popleft()[2]


def a_session(clock: ManualClock) -> Session:
    return Session("me", Seats(), LeaseTerms(), silent, clock)


def membership(session: Session) -> Membership:
    (found,) = session.memberships()
    return found


def a_manager(
    line: Line, *, config: LockConfig | None = None, emit: Emit = silent
) -> LockManager:
    return LockManager(line, line.session, config=config, emit=emit, chance=Chance(1))


async def turns(count: int = 20) -> None:
    """Let everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_true: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until it is so, however many turns that takes."""
    async with asyncio.timeout(within_s):
        while not is_true():
            await asyncio.sleep(0)
