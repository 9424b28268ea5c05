"""The port: where locks are kept, and who tells whose turn it is.

The store grants in the order of asking and makes the next waiter the holder when a hold
ends; a notice is only a hint that it has done so. A hold or a wait lives as long as the
session that it names, or until its own hard end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .answers import Answer, Ask, Confirm, Granted, Held, Notice, Queued, Roll, Was
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
        `leave` with `echo`), `SessionLostError` (that session of the ask is over),
        `NotReplicated` (granted, but not as its `confirm` says: `leave` it).
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


@runtime_checkable
class LockConversions(Protocol):
    """What a store may offer besides: a hold that changes its kind."""

    async def upgrade(
        self, name: str, ident: str, confirm: Confirm | None = None
    ) -> Granted | Queued:
        """Make a reader the writer, or let it wait until it is the only reader.

        When it is granted later a `GrantNotice` for the same id tells. Asking again is
        looking again. Raises `DeadlockError` when another reader waits for the same,
        `LockLostError` when it is not held.
        """
        ...

    async def downgrade(self, name: str, ident: str) -> int:
        """Make a writer a reader, or take back a wish to upgrade. Idempotent.

        Returns the token from now on. Raises `LockLostError` when it is not held.
        """
        ...


@runtime_checkable
class PermitStore(Protocol):
    """What a store may offer besides: an `Ask` for permits of a semaphore."""

    async def set_permits(self, name: str, permits: int) -> int:
        """Let the semaphore have so many for everybody. Returns how many are in use."""
        ...


@runtime_checkable
class RollStore(Protocol):
    """What a store may offer besides, if it may forget claims: to be reminded."""

    async def roll(self, tag: str, session: str, known: str) -> Roll:
        """What is known of the session's claims, unless the server is as `known`."""
        ...

    async def reassert(
        self, tag: str, session: str, held: Sequence[Held]
    ) -> list[bool]:
        """Take up again what was forgotten. Which of them are held now."""
        ...

    async def be_strict(self, ttl_s: float) -> None:
        """Let the server grant nothing for `ttl_s` after it may have forgotten claims.

        Raises `MissingCapability`.
        """
        ...


class MeetingStore(Protocol):
    """What elections, latches and barriers need besides locks. All idempotent."""

    async def watch(self, name: str, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` when something has changed under `name`. Returns its undoing."""
        ...

    async def prefer(self, name: str, candidate: str) -> bool:
        """Let the waiter with this label be the next. False if there is none."""
        ...

    async def count(self, name: str, participant: str) -> int:
        """Count a participant ("": only look). Returns how many are counted."""
        ...

    async def arrive(
        self, name: str, participant: str, attempt: str, parties: int
    ) -> int | None:
        """Wait at a barrier. Returns the generation that passed, None while waiting.

        Arriving again with the same attempt is looking. Who dies does not wait any
        more. Raises `SessionLostError`.
        """
        ...

    async def depart(self, name: str, participant: str, attempt: str) -> int | None:
        """Wait no more. Returns the generation if it has passed already."""
        ...


@runtime_checkable
class TogetherStore(Protocol):
    """What a store may offer besides: several locks in one request."""

    async def acquire_all(self, asks: Sequence[Ask]) -> list[Granted]:
        """Take all or none; it never waits. [] when not all can be taken so.

        All asks have the same kind, owner, label and end. Raises what `acquire` does.
        """
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


@dataclass(frozen=True, slots=True)
class Beside:
    """What a backend has beside its store of locks; None is what it has not."""

    meetings: MeetingStore | None = None
    waits: WaitStore | None = None
