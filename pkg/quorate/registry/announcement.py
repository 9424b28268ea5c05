"""One instance of ours: what is wanted of it, and what the store is known to have.

Settling brings the store to what is wanted, one write at a time, and believes only what
the store has answered. It may be repeated at any time; when all is as wanted it costs
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from quorate.core.errors import InvalidInput, StoreRefused
from quorate.verdict.model import HealthStatus

from .model import ServiceInfo
from .ports import Receipt, RegistryWriter, Word
from .records import MICROS

ROUNDS = 4


class Settled(Enum):
    """How settling ended. `OPEN`: it goes on changing; settle again."""

    AS_WANTED = "as wanted"
    TAKEN_BACK = "taken back"
    SUPERSEDED = "superseded"
    SESSION_OVER = "session over"
    OPEN = "open"


class Announcement:
    """`home` is the session under which the store has it; None if it must be told.

    `times` is how often it was announced, `untold` that nobody heard of the last.
    """

    def __init__(self, info: ServiceInfo) -> None:
        self.info = info
        self.wanted = True
        self.incarnation = 0
        self.home: str | None = None
        self.told: HealthStatus | None = None
        self.receipt = Receipt(Word.ABSENT)
        self.times = 0
        self.untold = False
        self._gate = asyncio.Lock()

    @property
    def shown(self) -> ServiceInfo:
        """The instance with what the store has added to it."""
        return replace(
            self.info,
            session=self.home or "",
            incarnation=self.incarnation,
            registered_at=self.incarnation / MICROS,
            revision=self.receipt.revision,
        )

    @property
    def key(self) -> tuple[str, str]:
        """Service and id."""
        return (self.info.name, self.info.id)

    def is_settled(self, me: str | None) -> bool:
        """Nothing to be told at once. A new text for the same health can wait."""
        return (
            self.wanted
            and me is not None
            and self.home == me
            and self.told is not None
            and self.told.status is self.info.health.status
        )

    async def settle(self, writer: RegistryWriter, me: str) -> Settled:
        """Bring the store to what is wanted, as session `me`. Raises `StoreError`."""
        async with self._gate:
            for _ in range(ROUNDS):
                if not self.wanted:
                    return await self._take_back(writer, me)
                if self.home != me:
                    ended = await self._announce(writer, me)
                elif self.told != self.info.health:
                    ended = await self._report(writer, me)
                else:
                    return Settled.AS_WANTED
                if ended is not None:
                    return ended
            return Settled.OPEN

    async def _take_back(self, writer: RegistryWriter, me: str) -> Settled:
        await writer.deregister(me, *self.key)
        self.home = None
        return Settled.TAKEN_BACK

    async def _announce(self, writer: RegistryWriter, me: str) -> Settled | None:
        info = self.info
        receipt = await writer.register(me, info, self.incarnation)
        match receipt.word:
            case Word.DEAD:
                return Settled.SESSION_OVER
            case Word.SUPERSEDED:
                return Settled.SUPERSEDED
            case Word.FULL:
                raise StoreRefused(
                    f"{info.id!r} was not registered for {info.name!r}.",
                    "FULL the registry takes no more instances of this service, "
                    "or no more services.",
                    "Look for programs that register under ever new names.",
                )
        self.home, self.incarnation, self.receipt = me, receipt.incarnation, receipt
        self.told = info.health if receipt.word is Word.DONE else None
        if receipt.word is Word.DONE:
            self.times += 1
            self.untold = True
        return None

    async def _report(self, writer: RegistryWriter, me: str) -> Settled | None:
        health = self.info.health
        receipt = await writer.set_health(me, *self.key, health)
        match receipt.word:
            case Word.DEAD:
                return Settled.SESSION_OVER
            case Word.ABSENT | Word.SUPERSEDED:
                self.home = None  # Registering again finds out whose it is.
            case _:
                self.told = health
        return None


class Announcements:
    """All instances of ours, by service and id."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], Announcement] = {}

    def __iter__(self) -> Iterator[Announcement]:
        return iter(tuple(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, own: Announcement) -> bool:
        return self._by_key.get(own.key) is own

    def has(self, service: str, instance: str) -> bool:
        """Whether we have an instance of this name, wanted or not."""
        return (service, instance) in self._by_key

    def want(self, info: ServiceInfo) -> Announcement:
        """The announcement of `info`, which is to be told to the store anew."""
        own = self._by_key.get((info.name, info.id))
        if own is None:
            own = self._by_key[info.name, info.id] = Announcement(info)
        own.info, own.wanted, own.home = info, True, None
        return own

    def drop(self, own: Announcement) -> None:
        """Forget it. Twice is harmless."""
        if own in self:
            del self._by_key[own.key]

    def find(self, instance: str, service: str | None) -> Announcement:
        """The one that is meant. Raises `InvalidInput` if there is none, or several."""
        found = [
            own
            for own in self
            if own.info.id == instance and service in (None, own.info.name)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            known = ", ".join(sorted(own.info.id for own in self)) or "nothing"
            raise InvalidInput(
                f"{instance!r} is not registered by this process.",
                f"It has registered: {known}.",
                "Only the process that registered an instance may speak for it.",
            )
        raise InvalidInput(
            f"{instance!r} is an instance of several services.",
            ", ".join(sorted(own.info.name for own in found)),
            "Say of which: service='…'.",
        )
