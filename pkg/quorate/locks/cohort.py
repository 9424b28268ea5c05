"""The line of this process's own tasks before one lock.

One of them leads: it stands in the server's line for all. A lock that comes back is
handed to the next task here without asking the server, for a while; who leads hands on
the place in the server's line when it gives up (lock cohorting).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from quorate.core.errors import DeadlockError

from .bid import Attempt, Bid
from .hold import Hold

Turn: TypeAlias = Hold | Bid | None
"""Your turn: with the lock, with a place in the server's line, or with nothing."""


class Place:
    """One task in line."""

    __slots__ = ("attempt", "turn")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()


class Gate:
    """The line before one lock. It exists while a task here leads or holds.

    `hold` is what is held here; `leader` stands in the server's line; `bid`, or
    `asking` or `timer` on the way to it, is a place there that was taken ahead of time.
    """

    __slots__ = ("asking", "bid", "hold", "leader", "line", "timer")

    def __init__(self) -> None:
        self.line: dict[Place, None] = {}
        self.hold: Hold | None = None
        self.leader: Attempt | None = None
        self.bid: Bid | None = None
        self.asking: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_ahead(self) -> bool:
        return not (self.bid is None and self.asking is None and self.timer is None)

    def stand(self, attempt: Attempt) -> Place:
        """Stand at the end of the line."""
        place = Place(attempt)
        self.line[place] = None
        return place

    def leave(self, place: Place) -> None:
        """Leave the line, from wherever in it."""
        self.line.pop(place, None)

    def refuse(self, attempt: Attempt, error: DeadlockError) -> bool:
        """Let `attempt` fail while it stands in line. False if it does not any more."""
        for place in self.line:
            if place.attempt is attempt and not place.turn.done():
                del self.line[place]
                place.turn.set_exception(error)
                return True
        return False

    def first(self) -> Place | None:
        """Who is next; it may be asked what it wants before it is called."""
        while self.line:
            place = next(iter(self.line))
            if not place.turn.done():
                return place
            del self.line[place]
        return None

    def call(self, place: Place, turn: Turn) -> None:
        """It is `place`'s turn."""
        del self.line[place]
        place.turn.set_result(turn)


@dataclass(frozen=True, slots=True)
class Passing:
    """When a hold may be handed to the next task of the same process.

    Never beyond its block of tokens, and not for longer than `longest_s`, so that other
    processes have their turn (lock cohorting, Dice, Marathe and Shavit, 2012).
    """

    longest_s: float

    def is_allowed(
        self, token: int, last_token: int, began_at: float, now: float
    ) -> bool:
        return token < last_token and now - began_at < self.longest_s
