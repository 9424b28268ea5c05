"""How names and records look on a Redis server, and what replies mean. See room.lua."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from quorate.core.errors import LockNotGranted
from quorate.lease.lease import DRIFT
from quorate.wire.keys import Keyspace, plain, sessions_key
from quorate.wire.link import Reply

from .answers import (
    Answer,
    Ask,
    Busy,
    Granted,
    GrantNotice,
    LookNotice,
    LossNotice,
    Notice,
    Queued,
    Sighting,
)
from .model import HolderFacts, LockLine, LockType, WaiterFacts, kind_of, shown

_HASHED = re.compile(r"%~[0-9a-f]{64}\Z")


@lru_cache(maxsize=4096)
def key_name(name: str) -> str:
    """A lock's name as part of a key. What `shown_name` returns leads back to it."""
    return name if _HASHED.search(name) else plain(name)


def place_of(keys: Keyspace, name: str) -> tuple[str, tuple[str, ...], str]:
    """Where a lock lies: its tag, the KEYS of its scripts, and its name in a key."""
    tag = keys.lock_tag(name)
    return tag, (sessions_key(tag),), key_name(name)


@lru_cache(maxsize=4096)
def shown_name(key: str) -> str:
    """The name again; of a long one only its beginning and its digest are left."""
    return key if _HASHED.search(key) else unquote(key)


def read_granted(
    reply: list[Reply], ask: Ask, where: tuple[str, str], asked_at: float, *, echo: bool
) -> Granted:
    _, now_ms, token, last, hard_end_ms = reply
    granted_at = asked_at
    if hard_end_ms:
        # Asked again, it may have been granted a while ago.
        ago_s = ask.hard_s - (hard_end_ms - now_ms) / 1000
        granted_at -= max(0.0, ago_s) * (1 + DRIFT)
    return Granted(token, last, *where, granted_at, echo)


def read_answer(
    reply: list[Reply], ask: Ask, where: tuple[str, str], asked_at: float, *, echo: bool
) -> Answer | None:
    """What `acquire` says at length; None when the session is over."""
    match reply[0]:
        case b"granted":
            return read_granted(reply, ask, where, asked_at, echo=echo)
        case b"queued":
            return read_queued(reply, ask.name, where, asked_at, echo=echo)
        case b"busy":
            return Busy(read_holder(ask.name, reply[3], reply[1], ends_in_s=None))
        case b"left":
            raise LockNotGranted(f"The wish for {shown(ask.name)!r} was given up.")
    return None


def read_queued(
    reply: list[Reply],
    name: str,
    where: tuple[str, str],
    asked_at: float,
    *,
    echo: bool,
) -> Queued:
    _, now_ms, first_end_ms, holder = reply
    tag, session = where
    return Queued(
        tag=tag,
        session=session,
        sighting=Sighting(asked_at, now_ms / 1000),
        look_in_s=(first_end_ms - now_ms) / 1000 if first_end_ms else None,
        holder=read_holder(name, holder, now_ms, ends_in_s=None),
        echo=echo,
    )


def pairs(rows: list[Reply]) -> list[tuple[bytes, int]]:
    """The records of `{id, record, ms, …}` with their milliseconds."""
    return [(rows[at + 1], rows[at + 2]) for at in range(0, len(rows), 3)]


def read_holder(
    name: str, record: bytes, now_ms: int, ends_in_s: float | None, mode: bytes = b"x"
) -> HolderFacts | None:
    if not record:
        return None
    token, hard_end, since, session, owner, label = record.decode().split("\n")[:6]
    if int(hard_end):
        hard_s = max(0.0, (int(hard_end) - now_ms) / 1000)
        ends_in_s = hard_s if ends_in_s is None else min(ends_in_s, hard_s)
    return HolderFacts(
        name=shown(name),
        lock_type=LockType.EXCLUSIVE if mode == b"x" else LockType.SHARED,
        token=int(token),
        session=session,
        owner=owner,
        label=label,
        held_s=max(0.0, (now_ms - int(since)) / 1000),
        ends_in_s=ends_in_s,
    )


def read_lines(claims: list[list[Reply]]) -> list[LockLine]:
    """The locks of `[name, id, session, is held]` rows, by name."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name, _, session, held in claims:
        held_by, waiting = found.setdefault(shown_name(name.decode()), ([], []))
        (held_by if held else waiting).append(session.decode())
    return [
        LockLine(shown(name), tuple(sorted(held_by)), len(waiting), kind_of(name))
        for name, (held_by, waiting) in sorted(found.items())
    ]


def read_waiter(name: str, record: bytes, now_ms: int, left_ms: int) -> WaiterFacts:
    _, mode, _, since, session, owner, label = record.decode().split("\n")[:7]
    return WaiterFacts(
        name=shown(name),
        lock_type=LockType.EXCLUSIVE if mode == "x" else LockType.SHARED,
        session=session,
        owner=owner,
        label=label,
        waited_s=max(0.0, (now_ms - int(since)) / 1000),
        is_alive=left_ms > 0,
    )


def read_notice(body: bytes) -> Notice | None:
    """What a message to this process says; None for words that are not known here."""
    word, key, *rest = body.decode().split("\n")
    name = shown_name(key)
    match word, rest:
        case "granted", [ident, token, last, now_ms]:
            return GrantNotice(name, ident, int(token), int(last), int(now_ms) / 1000)
        case "lost", [ident]:
            return LossNotice(name, ident)
        case "look", [ident, in_ms]:
            return LookNotice(name, ident, int(in_ms) / 1000)
    return None
