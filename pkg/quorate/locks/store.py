"""The port: where locks are kept, and who tells whose turn it is.

The store grants in the order of asking and makes the next waiter the holder when a hold
ends; a notice is only a hint that it has done so. A hold or a wait lives as long as the
session that it names, or until its own hard end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from .answers import Answer, Ask, Notice, Was
from .deadlock import Note, Picture
from .model import Explanation, LockLine

Hear = Callable[[Notice], None]
"""Called in the event loop with what has changed."""

Doubted = Callable[[str, int], None]
"""Called with who doubts what this process has noted, and the number of the doubt."""


class LockStore(Protocol):
    """Locks of one backend, claimed by one session."""

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Tell `hear` of grants, losses and missed news. Returns its undoing."""
        ...

    async def acquire(self, ask: Ask) -> Answer:
        """Take the lock or stand in line. Asking again with the same id is looking.

        An ask whose answer is lost is sent once more by the store itself. Raises
        `StoreUnavailable` (nothing was sent), `OutcomeUnknown` (sent, unanswered:
        `leave` with `echo`), `SessionLostError` (that session of the ask is over).
        """
        ...

    async def leave(self, name: str, ident: str, *, echo: bool) -> Was:
        """End a claim, held or awaited, and grant to whoever is next.

        `echo`: an unanswered copy of its ask may still arrive, and will be refused.
        """
        ...

    async def clean(self, tag: str, session: str) -> None:
        """End all claims of a dead session. Idempotent."""
        ...

    async def explain(self, name: str) -> Explanation:
        """Who holds the lock and who waits for it."""
        ...

    async def survey(self, most: int) -> list[LockLine]:
        """The locks that are held or awaited, up to `most` claims of them."""
        ...


class WaitStore(Protocol):
    """Where processes compare what their owners wait for, and break what does not end.

    Optional: without it only circles inside one process are found. See `deadlock`.
    """

    async def listen(self, doubted: Doubted) -> Callable[[], None]:
        """Tell `doubted` when this process is to note anew what it waits for."""
        ...

    async def compare(self, mine: Sequence[Note], heard: Mapping[str, int]) -> Picture:
        """Note what this process waits for, and read what all wait for.

        `heard`: the latest doubt of each process that is answered by this.
        """
        ...

    async def doubt(self, sessions: Iterable[str], number: int) -> None:
        """Ask these processes to note anew, under the number of this process."""
        ...

    async def give_way(self, name: str, ident: str) -> bool:
        """Leave the line unless the lock is granted by now; True if it was left."""
        ...

    async def end_hold(self, name: str, token: int) -> int:
        """Take the lock from who holds it with this token. How many held it so."""
        ...
