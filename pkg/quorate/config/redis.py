"""The shared store on a Redis server: one script a transaction, one revision each.

`T:cfg:leaves` holds values, `T:cfg:revisions` when each was written (below zero: when
it was removed), `T:cfg:log` the last transactions with the revision as entry id. A
published message only says that there is news; what it is, the log says. Conditions,
fencing and the session of a fenced writer are tested by the script that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from quorate.core.codec import Json, decode, encode
from quorate.core.errors import (
    ConfigConflict,
    InvalidInput,
    InvalidPayload,
    SessionLostError,
    StaleTokenError,
)
from quorate.core.fence import Fence
from quorate.core.ids import short
from quorate.lease.session import Session
from quorate.wire.keys import sessions_key
from quorate.wire.link import Reply
from quorate.wire.redis import Wire
from quorate.wire.scripts import load

from .model import Commit, Contents, Cursor, Draft, Leaf, Write
from .store import Changes

_COMMIT = load("quorate.config", "commit")
_SNAPSHOT = load("quorate.config", "snapshot")
_CHANGES = load("quorate.config", "changes")

PAGE = 100


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much a store takes. So many last `transactions` can be told and resumed."""

    value_bytes: int = 256 * 1024
    commit_bytes: int = 1024 * 1024
    writes: int = 512
    leaves: int = 10_000
    transactions: int = 1000


class RedisConfigStore:
    """The configuration of one namespace on one server.

    `session` is asked for its name when a fenced write is made. The wire is the
    caller's: `close` leaves it open.
    """

    def __init__(
        self,
        wire: Wire,
        session: Session | None = None,
        limits: StoreLimits | None = None,
    ) -> None:
        self._wire = wire
        self._session = session
        self._limits = limits or StoreLimits()
        self._tag = wire.keys.config_tag
        names = ("meta", "leaves", "revisions", "index", "log", "fence", "done")
        keys = {name: f"{self._tag}:cfg:{name}" for name in names}
        self._channel = f"{self._tag}:cfg:news"
        self._log = keys["log"]
        self._commit_keys = [*keys.values(), sessions_key(self._tag), self._channel]
        self._snapshot_keys = [keys["meta"], keys["leaves"], keys["revisions"]]
        self._changes_keys = [keys["meta"], keys["log"]]

    async def snapshot(self) -> Contents:
        reply = await self._wire.calls.call(_SNAPSHOT, self._snapshot_keys, [])
        epoch, revision, ident, flat, revisions = reply
        at = {name: int(number) for name, number in _pairs(revisions)}
        return Contents(
            Cursor(epoch.decode(), int(revision), ident.decode()),
            {name: Leaf(_value(name, data), at[name]) for name, data in _pairs(flat)},
            {name: -number for name, number in at.items() if number < 0},
        )

    async def changes(self, after: Cursor) -> Changes:
        reply = await self._wire.calls.call(
            _CHANGES,
            self._changes_keys,
            [after.epoch, after.revision, after.id, PAGE],
        )
        if reply[0] == b"gap":
            return Changes(gap=reply[1].decode())
        _, epoch, entries, more = reply
        commits = tuple(_commit(entry) for entry in entries)
        return Changes(commits, epoch.decode(), more=bool(more))

    async def commit(self, draft: Draft) -> int:
        arguments = self._arguments(draft)
        if draft.fence is not None:
            arguments[5] = await self._session_behind(draft.fence)
        reply = await self._wire.calls.call(_COMMIT, self._commit_keys, arguments)
        if reply[0] != b"ok":
            _refuse(draft, reply)
        return int(reply[1])

    async def history(self, key: str, limit: int) -> tuple[Commit, ...]:
        found: list[Commit] = []
        end = "+"
        while len(found) < limit:
            entries = await self._wire.calls.command(
                "XREVRANGE", self._log, end, "-", "COUNT", PAGE
            )
            page = [_commit(entry) for entry in entries]
            found += [one for one in page if not key or one.concerns(key)]
            if len(page) < PAGE:
                break
            end = f"({page[-1].revision}-0"
        return tuple(found[:limit])

    async def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        inbox = self._wire.inbox

        def hear(_message: bytes) -> None:
            changed()

        leave = inbox.on_resync(changed)

        def undo() -> None:
            leave()
            inbox.unsubscribe(self._channel, hear)

        try:
            await inbox.subscribe(self._channel, hear)
        except BaseException:
            undo()
            raise
        return undo

    async def close(self) -> None:
        return None

    async def _session_behind(self, fence: Fence) -> str:
        """The session that must live for the write to be taken, as far as it is known.

        That of the grant, if it was granted on this server; otherwise our own here.
        """
        if self._session is None:
            return ""
        if fence.tag == self._tag and fence.session.startswith(self._session.id):
            return fence.session
        return await self._session.join(self._tag)

    def _arguments(self, draft: Draft) -> list[str | bytes | int]:
        """What the script is given. Raises for what is too large, before it is sent."""
        limits = self._limits
        if not 0 < len(draft.writes) <= limits.writes:
            raise InvalidInput(
                f"A transaction of {len(draft.writes)} keys cannot be written.",
                f"Between 1 and {limits.writes} are allowed.",
            )
        tail: list[str | bytes | int] = []
        for write in draft.writes:
            puts = write.put()
            expected = "" if write.expect is None else write.expect
            tail += [write.key, int(write.delete), expected, len(puts)]
            for name, value in puts:
                tail += [name, encode(value, f"value of {name}", limits.value_bytes)]
        size = sum(len(part) for part in tail if isinstance(part, bytes))
        if size > limits.commit_bytes:
            raise InvalidPayload(
                "The transaction is too large.",
                f"It has {size} bytes; {limits.commit_bytes} are allowed.",
                "Write it in parts.",
            )
        fence = draft.fence
        return [
            draft.id,
            short(),
            "" if draft.expect is None else draft.expect,
            fence.name if fence else "",
            fence.token if fence else 0,
            "",
            draft.author,
            draft.comment,
            encode(_record(draft.writes), "transaction", 4 * limits.commit_bytes),
            limits.transactions,
            limits.leaves,
            len(draft.writes),
            *tail,
        ]


def _record(writes: Sequence[Write]) -> Json:
    return [[w.key] if w.delete else [w.key, w.value] for w in writes]


def _commit(entry: Reply) -> Commit:
    ident, words = entry
    found = dict(zip(words[::2], words[1::2], strict=True))
    record = decode(found[b"did"], "transaction")
    return Commit(
        revision=int(ident.partition(b"-")[0]),
        id=found[b"id"].decode(),
        at=int(found[b"at"]) / 1000,
        author=found[b"by"].decode(),
        comment=found[b"why"].decode(),
        writes=tuple(_write(*said) for said in record),
    )


def _write(key: str, *value: Json) -> Write:
    return Write(key, value[0]) if value else Write(key, delete=True)


def _pairs(flat: Sequence[bytes]) -> list[tuple[str, bytes]]:
    names = [name.decode() for name in flat[::2]]
    return list(zip(names, flat[1::2], strict=True))


def _value(name: str, data: bytes) -> Json:
    return decode(data, f"value of {name}")


def _refuse(draft: Draft, reply: Sequence[bytes]) -> NoReturn:
    """The error for what the script answered; nothing was written."""
    reason = reply[0].decode()
    fence = draft.fence
    if reason == "conflict":
        key, now = reply[1].decode(), int(reply[2])
        wanted = draft.expect
        if key:
            wanted = next(write.expect for write in draft.writes if write.key == key)
        subject = key or "The configuration"
        raise ConfigConflict(
            f"{subject} was not written: it has moved on.",
            f"It is at revision {now}; revision {wanted} was expected.",
            "Read it again, decide again, and write with the revision that you read.",
        )
    if reason == "stale" and fence is not None:
        raise StaleTokenError(
            f"The write under {fence.shown!r} was refused: its token is {fence.token}.",
            f"A later holder has written with token {reply[1].decode()}.",
            "Stop: this process no longer holds it.",
        )
    if reason == "session":
        raise SessionLostError(
            "The fenced write was refused: this process's session is over.",
            "What it held may belong to somebody else by now.",
            "Take the lock again before you write.",
        )
    raise InvalidPayload(
        f"The store holds {int(reply[1])} values and takes no more.",
        "Configuration is not a database.",
        "Delete what is not used, or keep bulk data elsewhere.",
    )
