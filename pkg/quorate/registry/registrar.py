"""Announces this process's own instances, and sees to it that they stay announced.

What is wanted is kept here and the store is brought to it: at once when something
changes, under the new name when the session was lost, and now and then by comparing, in
case the store has forgotten. While the store is away nothing is lost: it is made good
when it is back. Leaving takes everything back before the session ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from quorate.core.clock import Chance
from quorate.core.errors import (
    InvalidInput,
    OwnershipError,
    SessionLostError,
    StaleTokenError,
    StoreError,
)
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.lease.session import Session
from quorate.verdict.model import HealthState, HealthStatus

from .announcement import Announcement, Announcements, Settled
from .events import InstanceDeregistered, InstanceRegistered, InstanceSuperseded
from .model import ServiceInfo
from .ports import AdminChange, Receipt, RegistryWriter, Word

AUDIT_EVERY_S = 15.0
SPREAD = 0.2
RETRY_S = 0.25
RETRY_S_MAX = 1.0
LEAVE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class RegistrarStats:
    """Instances now, and counts since the start. `again`: after a loss."""

    instances: int
    registered: int
    again: int
    superseded: int


class Registrar:
    """A role, and the doors to it. `await start()` before use."""

    name = "registrar"

    def __init__(
        self,
        writer: RegistryWriter,
        session: Session,
        tag: str,
        *,
        emit: Emit,
        chance: Chance,
    ) -> None:
        self._writer = writer
        self._session = session
        self._tag = tag
        self._emit = emit
        self._chance = chance
        self._clock = session.clock
        self._tasks = Tasks(emit, session.clock)
        self._own = Announcements()
        self._wake: Callable[[], None] = lambda: None
        self._hear_no_more: Callable[[], None] = lambda: None
        self._audit_at = 0.0
        self._failures = 0
        self._registered = self._again = self._superseded = 0

    async def start(self) -> None:
        self._hear_no_more = self._session.on_lost(lambda _tag, _name: self._wake())
        self._audit_at = self._clock.monotonic() + AUDIT_EVERY_S
        self._wake = self._tasks.employ(self).wake

    async def stop(self) -> None:
        """Take everything back. What cannot be reached ends with the session."""
        self._hear_no_more()
        self._hear_no_more = lambda: None
        await self._tasks.close()
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                for own in self._own:
                    own.wanted = False
                    await self._settle(own)
        except (StoreError, OwnershipError, TimeoutError):
            return

    def instances(self) -> tuple[ServiceInfo, ...]:
        """What this process has announced, as it wants it to be."""
        return tuple(own.shown for own in self._own if own.wanted)

    async def register(self, info: ServiceInfo) -> Receipt:
        """Announce `info`. Whoever had the same id before is superseded.

        An instance whose health is not known is announced as healthy, because its
        session lives. Raises `StoreError` if the store did not take it; then it is not
        announced, nor will it be.
        """
        if not isinstance(info, ServiceInfo):
            raise InvalidInput(
                f"{info!r} cannot be registered.",
                "It is not a ServiceInfo.",
                "Write ServiceInfo(id='…', name='…', endpoint='host:port').",
            )
        if info.health.status is HealthState.UNKNOWN:
            registered = HealthStatus(
                HealthState.HEALTHY, "registered", self._clock.now()
            )
            info = info.with_health(registered)
        own = self._own.want(info)
        try:
            await self._settle(own)
        except BaseException:
            if own.incarnation == 0:
                self._own.drop(own)
                self.look_again()  # It may have happened: then it is a stray.
            raise
        if own not in self._own:
            raise StaleTokenError(
                f"{info.id!r} was not registered for {info.name!r}.",
                "Another process has registered the same id meanwhile.",
                "Give every process an instance id of its own.",
            )
        return own.receipt

    async def deregister(self, instance: str, service: str | None = None) -> bool:
        """Take an instance back, at once and for everybody.

        False if the store is away: it is taken back as soon as it answers, and ends
        with the session in any case.
        """
        own = self._own.find(instance, service)
        own.wanted = False
        return await self._try(own)

    async def set_health(
        self, instance: str, health: HealthStatus, service: str | None = None
    ) -> bool:
        """Say how an instance is. Only another state is told at once.

        A new text for the same state is told with the next comparison. False if the
        store is away: it is told when it is back.
        """
        own = self._own.find(instance, service)
        before = own.info.health
        same = (before.status, before.message, dict(before.details)) == (
            health.status,
            health.message,
            dict(health.details),
        )
        if not same:
            own.info = own.info.with_health(health)
        return await self._try(own)

    async def set_admin(
        self, instance: str, change: AdminChange, service: str | None = None
    ) -> Receipt:
        """Put an own instance in or out of service. Raises if it was not."""
        own = self._own.find(instance, service)
        await self._settle(own)
        me = await self._session.join(self._tag)
        meant = replace(change, incarnation=own.incarnation)
        receipt = await self._writer.set_admin(me, *own.key, meant)
        if receipt.word in (Word.DONE, Word.SAME):
            own.info = replace(own.info, admin_state=change.state)
            return receipt
        self.look_again()
        raise SessionLostError(
            f"{instance!r} was not put in {change.state.value}.",
            f"The registry says of it: {receipt.word.value}.",
            "It is being registered again; ask once more in a moment.",
        )

    def look_again(self) -> None:
        """The store may have forgotten something: compare now."""
        self._audit_at = 0.0
        self._wake()

    def stats(self) -> RegistrarStats:
        """How many there are, and how often they were registered."""
        return RegistrarStats(
            len(self.instances()), self._registered, self._again, self._superseded
        )

    async def tick(self) -> float:
        """Bring the store to what is wanted; now and then, look whether it is so."""
        try:
            if self._clock.monotonic() >= self._audit_at:
                await self._audit()
            for own in self._own:
                await self._settle(own)
        except (StoreError, SessionLostError):
            self._failures += 1
            rest_s = min(RETRY_S_MAX, RETRY_S * 2.0 ** min(self._failures - 1, 8))
            return rest_s * (0.75 + 0.25 * self._chance.random())
        self._failures = 0
        return max(0.0, self._audit_at - self._clock.monotonic())

    async def _audit(self) -> None:
        """Compare what the store has of us with what it should have."""
        me = self._session.name_in(self._tag)
        asked_for = self._audit_at == 0.0
        is_due = me is not None and (asked_for or len(self._own) > 0)
        held = await self._writer.held(me) if me and is_due else ()
        strays = {(each.service, each.instance): each for each in held}
        for own in self._own:
            found = strays.pop(own.key, None)
            if own.home != me:
                continue
            if found is None or found.incarnation != own.incarnation:
                own.home = None
            else:
                own.info = replace(own.info, admin_state=found.admin)
                if own.told != own.info.health:
                    own.told = None  # The text is another one: tell it now.
        for service, instance in strays:
            if me and not self._own.has(service, instance):
                await self._writer.deregister(me, service, instance)
        spread = SPREAD * (2 * self._chance.random() - 1)
        self._audit_at = self._clock.monotonic() + AUDIT_EVERY_S * (1 + spread)

    async def _settle(self, own: Announcement) -> None:
        """Until it is as wanted; once more if the server knows our session is over."""
        if own.is_settled(self._session.name_in(self._tag)):
            return
        for _ in range(2):
            me = await self._session.join(self._tag)
            ended = await own.settle(self._writer, me)
            if own.untold:
                self._tell_registered(own)
            if ended is not Settled.SESSION_OVER:
                self._close_book(own, ended)
                return
            self._session_is_over(me)
        raise SessionLostError(
            f"{own.info.id!r} is not registered for {own.info.name!r} now.",
            "The session ended twice in a row.",
            "Is the server's clock right? It is tried again by itself.",
        )

    async def _try(self, own: Announcement) -> bool:
        try:
            await self._settle(own)
        except (StoreError, SessionLostError):
            self._wake()
            return False
        return True

    def _close_book(self, own: Announcement, ended: Settled) -> None:
        service, instance = own.key
        if ended is Settled.TAKEN_BACK and not own.wanted:
            self._own.drop(own)
            self._emit(InstanceDeregistered(service=service, instance=instance))
        elif ended is Settled.SUPERSEDED:
            self._own.drop(own)
            self._superseded += 1
            self._emit(
                InstanceSuperseded(
                    service=service, instance=instance, by="a later incarnation"
                )
            )

    def _tell_registered(self, own: Announcement) -> None:
        own.untold = False
        self._registered += 1
        self._again += own.times > 1
        self._emit(
            InstanceRegistered(
                service=own.info.name,
                instance=own.info.id,
                endpoint=own.info.endpoint,
                revision=own.receipt.revision,
            )
        )

    def _session_is_over(self, name: str) -> None:
        """The server says so before the keeper has noticed: let everybody know."""
        for member in self._session.memberships():
            if member.tag == self._tag and member.name == name:
                self._session.lost(member, "the server had ended it")
