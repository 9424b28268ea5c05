"""What the tasks of this process wait for with something in hand.

A circle of tasks of this process alone is seen here the moment its last task begins to
wait. The rest is written down as notes, for processes to compare (see `deadlock`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quorate.core.errors import DeadlockError
from quorate.lease.session import Session

from .bid import Attempt
from .cohort import Gate
from .deadlock import Note
from .hold import Hold, owner_id
from .holdings import Holdings
from .model import shown


@dataclass(slots=True)
class Wait:
    """One task that waits. `on`: where it waited when that was last noted."""

    attempt: Attempt
    ident: str
    since_ms: int
    look_at: float = float("inf")
    on: str | None = None


class OwnWaits:
    """The waits of one lock manager. A task waits for one lock at a time."""

    def __init__(
        self, session: Session, holdings: Holdings, gates: Mapping[str, Gate]
    ) -> None:
        self._session = session
        self._holdings = holdings
        self._gates = gates
        self._waits: dict[object, Wait] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._waits)

    def __iter__(self) -> Iterator[Wait]:
        return iter(tuple(self._waits.values()))

    def begins(self, attempt: Attempt) -> Wait:
        """It waits from now on, or elsewhere than before."""
        wait = self._waits.get(attempt.task)
        if wait is None or wait.attempt is not attempt:
            self._count += 1
            ident = f"{self._session.id}#{self._count}"
            began_ms = round(self._session.clock.now() * 1000)
            wait = self._waits[attempt.task] = Wait(attempt, ident, began_ms)
        return wait

    def ends(self, attempt: Attempt) -> None:
        """It waits no longer."""
        wait = self._waits.get(attempt.task)
        if wait is not None and wait.attempt is attempt:
            del self._waits[attempt.task]

    def find(self, ident: str) -> Wait | None:
        """The wait that was noted under this id, if it has not ended."""
        return next((w for w in self._waits.values() if w.ident == ident), None)

    def have_moved(self) -> bool:
        """Does one that was noted wait elsewhere by now?"""
        return any(
            wait.on is not None and wait.on != self._where(wait.attempt)
            for wait in self._waits.values()
        )

    def notes(self) -> list[Note]:
        """What this process knows that nobody else does."""
        inside, found = self._inside(), []
        for task, wait in self._waits.items():
            attempt = wait.attempt
            wait.on = self._where(attempt)
            if wait.on and task in inside:
                note = Note(
                    ident=wait.ident,
                    session=self._session.id,
                    owner=owner_id(attempt.owner),
                    label=attempt.wish.label,
                    name=attempt.wish.name,
                    on=wait.on,
                    inside=tuple(f"{h.id}:{h.token}" for h in inside[task]),
                    since_ms=wait.since_ms,
                    priority=attempt.wish.priority,
                )
                found.append(note)
        return found

    def circle(self, attempt: Attempt) -> list[Attempt]:
        """The tasks of this process that wait for each other, `attempt` the first."""
        came: dict[object, Attempt] = {}
        open_ = [attempt]
        while open_:
            one = open_.pop()
            for other in self._before(one):
                if other is attempt:
                    return [attempt, *_way(came, attempt, one)]
                if other.task not in came:
                    came[other.task] = one
                    open_.append(other)
        return []

    def _where(self, attempt: Attempt) -> str:
        """What it waits at; nothing while that is still on its way."""
        if attempt.upgrade:
            return self._where_to_write(attempt)
        bid, gate = attempt.bid, self._gates.get(attempt.wish.name)
        if bid is None and gate is not None and not attempt.wish.shared:
            if gate.hold is not None:
                return f"h:{gate.hold.id}:{gate.hold.token}"
            bid = gate.leader.bid if gate.leader is not None else None
        return f"b:{bid.ask.id}" if bid is not None and bid.is_open else ""

    def _where_to_write(self, attempt: Attempt) -> str:
        """What a reader waits at that wants to write: all others that read.

        Those of this process that share its hold come first; one that waits will do.
        """
        hold = self._holdings.find(attempt.upgrade)
        others = [b for b in hold.blocks if b.owner != attempt.owner] if hold else []
        if not others:
            return f"u:{attempt.upgrade}"
        waits = (self._waits.get(block.task) for block in others)
        return next((f"w:{wait.ident}" for wait in waits if wait), "")

    def _inside(self) -> dict[object, list[Hold]]:
        """What each task holds: only it can end the block that it is in."""
        found: dict[object, list[Hold]] = {}
        for hold in self._holdings.all():
            for block in hold.blocks:
                found.setdefault(block.task, []).append(hold)
        return found

    def _before(self, attempt: Attempt) -> Iterator[Attempt]:
        """The waiting tasks of this process that `attempt` waits for."""
        name, upgrade = attempt.wish.name, attempt.upgrade
        shared = attempt.wish.shared and not upgrade
        gate = self._gates.get(name)
        holds: Iterable[Hold]
        if gate is not None and gate.hold is not None:
            holds = (gate.hold,)
        else:
            holds = (h for h in self._holdings.all() if h.wish.name == name)
        for hold in holds:
            if hold.shared and shared:
                continue
            for block in hold.blocks:
                wait = self._waits.get(block.task)
                if wait is not None and not (
                    hold.id == upgrade and wait.attempt is attempt
                ):
                    yield wait.attempt


def _way(came: Mapping[object, Attempt], start: Attempt, end: Attempt) -> list[Attempt]:
    """From after `start` to `end`."""
    way: list[Attempt] = []
    while end is not start:
        way.append(end)
        end = came[end.task]
    return way[::-1]


def shown_circle(circle: Iterable[Attempt]) -> str:
    """Who waits for what, and then the first again."""
    names = [
        f"{owner_id(one.owner)} ({one.wish.label})"
        if one.wish.label
        else owner_id(one.owner)
        for one in circle
    ]
    steps = [
        f"{name} waits for {shown(one.wish.name)!r}"
        for name, one in zip(names, circle, strict=True)
    ]
    return " → ".join((*steps, names[0]))


def own_error(circle: list[Attempt]) -> DeadlockError:
    """What the last in a circle of this process's tasks gets."""
    return DeadlockError(
        f"Waiting for {shown(circle[0].wish.name)!r} would never end.",
        f"Tasks of this process wait for each other: {shown_circle(circle)}.",
        "Give back what is held and begin again; take locks in the same order "
        "everywhere to be safe from this.",
    )
