"""Waiting for each other: a latch that opens once, and a barrier that passes again.

Everybody is counted once, under a name of its own, however often it says so.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from quorate.core.errors import InvalidInput, LockNotGranted, QuorateError
from quorate.core.lifecycle import to_the_end
from quorate.core.names import check_name

from .model import check_wait
from .store import MeetingStore
from .watching import Watch

MOST_PARTIES = 10_000


@dataclass(frozen=True, slots=True)
class Venue:
    """What latches and barriers work with. `me`: how this process is called."""

    store: MeetingStore
    me: str
    look_s: Callable[[], float]


class Latch:
    """Opens for all when `count` participants have counted down; then it stays open.

    What has been counted stays, even if the process that did it dies, until nobody has
    used the latch for a day.
    """

    def __init__(self, name: str, count: int, venue: Venue) -> None:
        self.name = check_name(name, "latch")
        self.count = _checked(count, "count")
        self._venue = venue

    async def count_down(self, participant: str = "") -> int:
        """Count `participant` (this process), once. Returns how many are still to come.

        One request; asking again changes nothing.
        """
        who = check_name(participant or self._venue.me, "participant")
        return max(0, self.count - await self._venue.store.count(self.name, who))

    async def left(self) -> int:
        """How many are still to come. One request."""
        return max(0, self.count - await self._venue.store.count(self.name, ""))

    async def wait(self, *, wait_s: float | None = None) -> None:
        """Wait until it is open, up to `wait_s`; then raise `LockNotGranted`."""
        check_wait(wait_s)
        left = self.count
        try:
            async with asyncio.timeout(wait_s), self._watch() as watch:
                while left := await self.left():
                    await watch.rings()
        except TimeoutError as error:
            raise _in_vain(self.name, wait_s, f"{left} of {self.count}") from error

    def _watch(self) -> Watch:
        return Watch(self._venue.store, self.name, self._venue.look_s())


class Barrier:
    """Lets `parties` participants pass together, generation after generation.

    A participant that dies or gives up while it waits does not count.
    """

    _attempts = itertools.count(1)

    def __init__(self, name: str, parties: int, venue: Venue) -> None:
        self.name = check_name(name, "barrier")
        self.parties = _checked(parties, "parties")
        self._venue = venue

    async def wait(self, participant: str = "", *, wait_s: float | None = None) -> int:
        """Wait until all are here. Returns the generation, 1 for the first.

        A participant (this process, if not named) counts once. After `wait_s` it waits
        no more and `LockNotGranted` is raised, unless all have just come.
        """
        check_wait(wait_s)
        venue = self._venue
        who = check_name(participant or venue.me, "participant")
        attempt = f"{venue.me}:{next(self._attempts)}"
        try:
            async with asyncio.timeout(wait_s):
                return await self._wait(who, attempt)
        except BaseException as error:
            passed = await to_the_end(self._depart(who, attempt), "leave a barrier")
            if not isinstance(error, TimeoutError):
                raise
            if passed is not None:
                return passed
            raise _in_vain(self.name, wait_s, f"some of {self.parties}") from error

    async def _depart(self, who: str, attempt: str) -> int | None:
        """Wait no more; if that cannot be said, the next attempt or the end says it."""
        try:
            return await self._venue.store.depart(self.name, who, attempt)
        except QuorateError:
            return None

    async def _wait(self, who: str, attempt: str) -> int:
        venue = self._venue
        passed: int | None = None
        async with Watch(venue.store, self.name, venue.look_s()) as watch:
            while passed is None:
                passed = await venue.store.arrive(self.name, who, attempt, self.parties)
                if passed is None:
                    await watch.rings()
        return passed


def _checked(value: object, what: str) -> int:
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 1 <= value <= MOST_PARTIES
    ):
        return value
    raise InvalidInput(
        f"{what} = {value!r} cannot be used.",
        fix=f"Give a number from 1 to {MOST_PARTIES}.",
    )


def _in_vain(name: str, wait_s: float | None, missing: str) -> LockNotGranted:
    return LockNotGranted(
        f"Not all came to {name!r} within {wait_s or 0:g} s.",
        f"Missing: {missing}.",
        "Wait longer with wait_s=….",
    )
