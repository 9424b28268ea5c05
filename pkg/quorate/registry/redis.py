"""The registry on a Redis server. Satisfies all ports of `ports.py`.

Instances name their session and have no expiry of their own, so renewing costs the
registry nothing and never changes a revision. Each change is one script: it writes,
counts the revision up, appends to the service's log and tells who listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.core.errors import InvalidInput, StaleTokenError, StoreUnavailable
from quorate.core.events import Emit
from quorate.core.ids import short
from quorate.verdict.model import HealthStatus
from quorate.wire.keys import plain, sessions_key
from quorate.wire.scripts import Script, load

from .events import InstanceUnreadable
from .model import ServiceInfo, Snapshot
from .ports import (
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
)  # fmt: skip
from .records import document_of, health_text, read_admin, read_instance

if TYPE_CHECKING:
    from quorate.wire.link import Reply
    from quorate.wire.redis import Wire

_PACKAGE = "quorate.registry"
_REGISTER = load(_PACKAGE, "register")
_DEREGISTER = load(_PACKAGE, "deregister")
_HEALTH = load(_PACKAGE, "health")
_ADMIN = load(_PACKAGE, "admin")
_HELD = load(_PACKAGE, "held")
_SNAPSHOT = load(_PACKAGE, "snapshot")
_CHANGES = load(_PACKAGE, "changes")
_SERVICES = load(_PACKAGE, "services")
_REMOVE_DEAD = load(_PACKAGE, "remove_dead")
_SETTLE = load(_PACKAGE, "settle")

MOST_CHANGES = 256
MOST_REMOVED = 100
MAX_REASON_CHARS = 1024


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """How much one registry takes."""

    instances_per_service: int = 10_000
    services: int = 10_000


class RedisRegistry:
    """Writes, reads and sweeps over one `Wire`, all under the registry's tag."""

    def __init__(self, wire: Wire, emit: Emit, limits: RegistryLimits | None = None):
        self._wire = wire
        self._emit = emit
        self._limits = limits or RegistryLimits()
        self.tag = wire.keys.registry_tag
        self._root = f"{self.tag}:r:"
        self._keys = (sessions_key(self.tag), self._root)

    @property
    def index_key(self) -> str:
        """The SET of sessions that have instances, for the sweeper."""
        return f"{self._root}sessions"

    async def register(
        self, session: str, info: ServiceInfo, incarnation: int
    ) -> Receipt:
        return await self._write(
            _REGISTER,
            session, plain(info.name), info.name, info.id, document_of(info),
            incarnation, info.health.status.value, health_text(info.health),
            info.admin_state.value, "", short(),
            self._limits.instances_per_service, self._limits.services,
        )  # fmt: skip

    async def deregister(self, session: str, service: str, instance: str) -> Receipt:
        return await self._write(_DEREGISTER, session, plain(service), instance)

    async def set_health(
        self, session: str, service: str, instance: str, health: HealthStatus
    ) -> Receipt:
        state, text = health.status.value, health_text(health)
        return await self._write(
            _HEALTH, session, plain(service), instance, state, text
        )

    async def set_admin(
        self, session: str, service: str, instance: str, change: AdminChange
    ) -> Receipt:
        why, fence = change.reason[:MAX_REASON_CHARS], change.fence
        proof = (fence.name, fence.token) if fence else ("", 0)
        reply = await self._ask(
            _ADMIN, session, plain(service), instance, change.state.value, why,
            change.incarnation, *proof,
        )  # fmt: skip
        if fence and reply[0] == b"stale":
            raise StaleTokenError(
                f"{instance!r} was not put in {change.state.value}.",
                f"Of {fence.shown!r} the token {reply[1].decode()} has decided "
                f"already; this one is {fence.token}.",
                "Stop: this process, or this task of it, no longer holds it.",
            )
        return _receipt(reply)

    async def held(self, session: str) -> Sequence[Held]:
        return [
            Held(service.decode(), ident.decode(), incarnation, read_admin(admin))
            for service, ident, incarnation, admin in await self._ask(_HELD, session)
        ]

    async def snapshot(self, service: str) -> Snapshot:
        asked_at = self._wire.clock.monotonic()
        epoch, revision, rows = await self._ask(_SNAPSHOT, plain(service))
        found = (
            self._read(service, ident, texts, suspect=bool(suspect))
            for ident, *texts, suspect in rows
        )
        return Snapshot.of(
            service,
            [info for info in found if info is not None],
            epoch=epoch.decode(),
            revision=revision,
            loaded_at=asked_at,
        )

    async def changes(
        self, service: str, epoch: str, after: int
    ) -> Sequence[Change] | None:
        complete, _, entries = await self._ask(
            _CHANGES, plain(service), epoch, after, MOST_CHANGES
        )
        if not complete:
            return None
        return [self._change(service, *entry) for entry in entries]

    async def services(self) -> Sequence[ServiceCount]:
        rows = await self._ask(_SERVICES)
        counts = [ServiceCount(name.decode(), many, rev) for name, many, rev in rows]
        return sorted(counts, key=lambda count: count.name)

    async def epoch(self) -> str:
        reply = await self._wire.calls.command("GET", f"{self._root}epoch")
        return reply.decode() if reply else ""

    async def listen(self, service: str, hear: Hear) -> Callable[[], None]:
        channel = f"{self._root}news:{plain(service)}"

        def heard(body: bytes) -> None:
            epoch, _, revision = body.decode(errors="replace").partition(" ")
            hear(*((epoch, int(revision)) if revision.isdigit() else MISSED))

        no_resync = self._wire.inbox.on_resync(lambda: hear(*MISSED))

        def leave() -> None:
            self._wire.inbox.unsubscribe(channel, heard)
            no_resync()

        try:
            await self._wire.inbox.subscribe(channel, heard)
        except StoreUnavailable:
            # The inbox keeps the handler and calls for a look when it is back.
            return leave
        except BaseException:
            leave()
            raise
        return leave

    async def remove_dead(self, session: str, doubt: Doubt) -> Removal:
        left, removed, probes = await self._ask(
            _REMOVE_DEAD, session, _hundredths(doubt.share), doubt.least,
            _ms(doubt.late_s), _ms(doubt.stay_s), _ms(doubt.probe_every_s),
            MOST_REMOVED,
        )  # fmt: skip
        return Removal(
            left, removed, tuple(self._suspects(session, probes)) if probes else ()
        )

    async def settle(self, suspect: Suspect, *, alive: bool, stay_s: float) -> bool:
        info, verdict = suspect.info, "alive" if alive else "dead"
        return bool(
            await self._ask(
                _SETTLE, suspect.session, plain(info.name), info.id, verdict,
                _ms(stay_s),
            )
        )  # fmt: skip

    async def _ask(self, script: Script, *args: str | bytes | int) -> Reply:
        return await self._wire.calls.call(script, self._keys, args)

    async def _write(self, script: Script, *args: str | bytes | int) -> Receipt:
        return _receipt(await self._ask(script, *args))

    def _change(self, service: str, entry: bytes, fields: list[bytes]) -> Change:
        found = dict(zip(fields[::2], fields[1::2], strict=True))
        revision, ident = int(entry.partition(b"-")[0]), found[b"id"]
        why = found.get(b"why", found[b"op"]).decode()
        if found[b"op"] == b"gone":
            return Change(revision, ident.decode(), None, why)
        texts = [found[part] for part in (b"doc", b"own", b"health", b"admin")]
        suspect = found[b"suspect"] != b"0"
        info = self._read(service, ident, texts, suspect=suspect)
        return Change(revision, ident.decode(), info, why)

    def _suspects(self, session: str, rows: Iterable[Reply]) -> Iterable[Suspect]:
        for service, ident, document, own, health, admin in rows:
            texts = (document, own, health, admin)
            info = self._read(service.decode(), ident, texts, suspect=True)
            if info is not None:
                yield Suspect(session, info)

    def _read(
        self, service: str, ident: bytes, texts: Sequence[bytes], *, suspect: bool
    ) -> ServiceInfo | None:
        """The instance; one that nobody here can read is told of and left out."""
        try:
            document, own, health, admin = texts
            return read_instance(document, own, health, admin, suspect=suspect)
        except InvalidInput as error:
            shown = ident.decode(errors="replace")
            self._emit(
                InstanceUnreadable(service=service, instance=shown, why=error.why)
            )
            return None


def _receipt(reply: Reply) -> Receipt:
    word, epoch, revision, incarnation = reply
    return Receipt(Word(word.decode()), epoch.decode(), revision, incarnation)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _hundredths(share: float) -> int:
    return int(share * 100)
