"""A registry in a dictionary, for tests of what stands above the store.

It can be away, lose everything, and count what it was asked. What a real store
promises is tested over real ones, in tests/contract/test_registry_store.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.registry.model import ServiceInfo, Snapshot
from quorate.registry.ports import (
    MISSED,
    AdminChange,
    Change,
    Doubt,
    Hear,
    Held,
    Receipt,
    Removal,
    ServiceCount,
    Suspect,
    Word,
)
from quorate.verdict.model import HealthStatus


class FakeStore:
    """Writer, reader and sweep in one. Sessions in `ended` are over."""

    tag = "{t}"
    index_key = "{t}:r:sessions"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.unsure = False
        self.ended: set[str] = set()
        self.full = False
        self.broken = False
        self.deaf = False
        self.removals: list[Removal] = []
        self.settled: list[tuple[str, bool]] = []
        self._epochs = count(1)
        self._incarnations = count(1_000_000, 1_000_000)
        self._listeners: dict[str, list[Hear]] = {}
        self.flush()

    def flush(self) -> None:
        """Everything is lost; nobody is told."""
        self.name = ""
        self.revisions: dict[str, int] = {}
        self.rows: dict[str, dict[str, ServiceInfo]] = {}
        self.logs: dict[str, list[Change]] = {}

    def cut_logs(self) -> None:
        self.logs.clear()

    def resync(self) -> None:
        """Some messages may have been missed."""
        for listeners in self._listeners.values():
            for hear in tuple(listeners):
                hear(*MISSED)

    def tell(self, service: str, epoch: str, revision: int) -> None:
        """Send the message of a change, whatever is true."""
        for hear in tuple(self._listeners.get(service, ())):
            hear(epoch, revision)

    def instances(self, service: str) -> dict[str, ServiceInfo]:
        return self.rows.setdefault(service, {})

    async def register(
        self, session: str, info: ServiceInfo, incarnation: int
    ) -> Receipt:
        self._ask("register")
        if session in self.ended:
            return Receipt(Word.DEAD)
        if self.full:
            return Receipt(Word.FULL)
        self.name = self.name or f"epoch{next(self._epochs)}"
        was = self.instances(info.name).get(info.id)
        if was and was.session == session and _document(was) == _document(info):
            return self._receipt(Word.SAME, info.name, was.incarnation)
        if was and was.incarnation > incarnation > 0 and was.session not in self.ended:
            return self._receipt(Word.SUPERSEDED, info.name)
        incarnation = incarnation or next(self._incarnations)
        written = replace(info, session=session, incarnation=incarnation)
        return self._note(Word.DONE, written)

    async def deregister(self, session: str, service: str, instance: str) -> Receipt:
        self._ask("deregister")
        was = self.instances(service).get(instance)
        if was is None:
            return self._receipt(Word.SAME, service)
        if was.session != session:
            return self._receipt(Word.SUPERSEDED, service)
        return self.remove(service, instance)

    async def set_health(
        self, session: str, service: str, instance: str, health: HealthStatus
    ) -> Receipt:
        self._ask("set_health")
        was = self.instances(service).get(instance)
        if session in self.ended:
            return Receipt(Word.DEAD)
        if was is None:
            return self._receipt(Word.ABSENT, service)
        if was.session != session:
            return self._receipt(Word.SUPERSEDED, service)
        if was.health.status is health.status:
            self.rows[service][instance] = was.with_health(health)
            return self._receipt(Word.SAME, service)
        return self._note(Word.DONE, was.with_health(health))

    async def set_admin(
        self, session: str, service: str, instance: str, change: AdminChange
    ) -> Receipt:
        self._ask("set_admin")
        was = self.instances(service).get(instance)
        if was is None:
            return self._receipt(Word.ABSENT, service)
        return self._note(Word.DONE, replace(was, admin_state=change.state))

    async def held(self, session: str) -> Sequence[Held]:
        self._ask("held")
        return [
            Held(info.name, info.id, info.incarnation, info.admin_state)
            for rows in self.rows.values()
            for info in rows.values()
            if info.session == session
        ]

    async def snapshot(self, service: str) -> Snapshot:
        self._ask("snapshot")
        return Snapshot.of(
            service,
            self.instances(service).values(),
            epoch=self.name,
            revision=self.revisions.get(service, 0),
        )

    async def changes(
        self, service: str, epoch: str, after: int
    ) -> Sequence[Change] | None:
        self._ask("changes")
        revision = self.revisions.get(service, 0)
        found = [c for c in self.logs.get(service, ()) if c.revision > after]
        if epoch != self.name or revision < after or len(found) != revision - after:
            return None
        return found

    async def services(self) -> Sequence[ServiceCount]:
        self._ask("services")
        return [
            ServiceCount(name, len(rows), self.revisions[name])
            for name, rows in self.rows.items()
            if rows
        ]

    async def epoch(self) -> str:
        self._ask("epoch")
        return self.name

    async def listen(self, service: str, hear: Hear) -> Callable[[], None]:
        self._listeners.setdefault(service, []).append(hear)
        return lambda: self._listeners[service].remove(hear)

    async def remove_dead(self, session: str, doubt: Doubt) -> Removal:
        self._ask("remove_dead")
        return self.removals.pop(0)

    async def settle(self, suspect: Suspect, *, alive: bool, stay_s: float) -> bool:
        self._ask("settle")
        self.settled.append((suspect.info.id, alive))
        return not alive

    def put(self, info: ServiceInfo) -> Receipt:
        """Somebody else registers `info`."""
        self.name = self.name or f"epoch{next(self._epochs)}"
        return self._note(Word.DONE, info)

    def remove(self, service: str, instance: str) -> Receipt:
        """The instance goes, whoever had it."""
        del self.rows[service][instance]
        revision = self.revisions[service] = self.revisions[service] + 1
        self._log(service, Change(revision, instance, None, "left"))
        return self._receipt(Word.DONE, service)

    def _note(self, word: Word, info: ServiceInfo) -> Receipt:
        service = info.name
        revision = self.revisions[service] = self.revisions.get(service, 0) + 1
        info = replace(info, revision=revision)
        self.instances(service)[info.id] = info
        self._log(service, Change(revision, info.id, info))
        return self._receipt(word, service, info.incarnation)

    def _log(self, service: str, change: Change) -> None:
        self.logs.setdefault(service, []).append(change)
        if not self.deaf:
            self.tell(service, self.name, change.revision)

    def _receipt(self, word: Word, service: str, incarnation: int = 0) -> Receipt:
        return Receipt(word, self.name, self.revisions.get(service, 0), incarnation)

    def _ask(self, what: str) -> None:
        if self.away:
            raise StoreUnavailable("The store is away.", "It was told to be.")
        self.asked.append(what)
        if self.broken:
            raise ZeroDivisionError("a bug")
        if self.unsure:
            self.unsure = False
            raise OutcomeUnknown("No answer.", "It was told not to.")


def _document(info: ServiceInfo) -> ServiceInfo:
    return replace(
        info,
        health=HealthStatus(),
        last_check=None,
        registered_at=0.0,
        session="",
        incarnation=0,
        revision=0,
        admin_state=info.admin_state,
        suspect=False,
    )
