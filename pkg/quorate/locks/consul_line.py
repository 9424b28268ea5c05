"""A lock on Consul: a folder with one key for each claim, in order of arrival. Pure.

Who holds follows from the folder alone: the first claim, or, if that reads, all that
read before the first that writes. So to remove a claim is to grant to whoever is next.
The place of a claim in Consul's log orders it and is its token: it never comes twice
and never runs backwards.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from quorate.wire.consul_calls import Entry

from .answers import Ask
from .model import Explanation, HolderFacts, LockLine, LockType, WaiterFacts

BLOCK = 32
"""A claim has so many tokens: the tasks of one process may take turns with them."""

WRITES, READS, LEFT = 1, 2, 3
"""Flags of a key. LEFT is no claim: it keeps out a late copy of one."""

_SAFE = "!$'()*,:;=@+"
_LONGEST = 200
_HASHED = re.compile(r"%~[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A claim in the line: since when by its owner's clock, and by whom.

    `session` is the name as people know it, `held_by` Consul's own id of the session.
    """

    id: str
    key: str
    held_by: str
    created: int
    modified: int
    shared: bool
    session: str
    owner: str
    label: str
    since: float

    @property
    def token(self) -> int:
        return self.created * BLOCK

    @property
    def last_token(self) -> int:
        """A writer has a block to pass on; readers do not pass on."""
        return self.token if self.shared else self.token + BLOCK - 1

    def as_holder(self, name: str, now: float) -> HolderFacts:
        """`held_s` counts from the asking: Consul does not say when a turn began."""
        return HolderFacts(
            name=name,
            lock_type=_type_of(self),
            token=self.token,
            session=self.session,
            owner=self.owner,
            label=self.label,
            held_s=max(0.0, now - self.since),
        )

    def as_waiter(self, name: str, now: float) -> WaiterFacts:
        return WaiterFacts(
            name=name,
            lock_type=_type_of(self),
            session=self.session,
            owner=self.owner,
            label=self.label,
            waited_s=max(0.0, now - self.since),
            is_alive=True,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """All claims of one lock, the first to come first."""

    places: tuple[Place, ...]
    left: frozenset[str]

    def find(self, ident: str) -> Place | None:
        """The claim with this id."""
        return next((place for place in self.places if place.id == ident), None)

    def holders(self) -> tuple[Place, ...]:
        """Who holds: the first writer alone, or the readers before it."""
        if self.places and not self.places[0].shared:
            return self.places[:1]
        writers = (at for at, place in enumerate(self.places) if not place.shared)
        return self.places[: next(writers, len(self.places))]

    def before(self, mine: Place) -> Place | None:
        """Whose end this claim waits for; None when it holds.

        A writer waits for the claim right before it, a reader for the last writer
        before it: when that one goes, it looks again.
        """
        for place in reversed(self.places[: self.places.index(mine)]):
            if not (mine.shared and place.shared):
                return place
        return None


def read_line(folder: str, entries: Iterable[Entry]) -> Line:
    """The line in a lock's folder.

    A key that no session has locked is nobody's claim, whoever put it there.
    """
    claims = [entry for entry in entries if entry.session]
    places = [_place(folder, e) for e in claims if e.flags in (WRITES, READS)]
    return Line(
        places=tuple(sorted(places, key=lambda place: place.created)),
        left=frozenset(_id_of(folder, e.key) for e in claims if e.flags == LEFT),
    )


def folder_of(root: str, name: str) -> str:
    """The folder of one lock. Different names have different folders."""
    return f"{all_locks(root)}{_step(name)}/"


def all_locks(root: str) -> str:
    """The folder of the folders."""
    return f"{root}/locks/"


def key_of(folder: str, ident: str) -> str:
    """The key of one claim."""
    return folder + quote(ident, safe=_SAFE)


def record_of(ask: Ask, session: str, now: float) -> bytes:
    """What a claim says of itself, for people to read, in Consul's pages too."""
    said = {
        "session": session, "owner": ask.owner, "label": ask.label,
        "since": round(now, 3),
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False).encode()


def explanation_of(name: str, line: Line, now: float) -> Explanation:
    """Who holds and who waits, in the order of their turns."""
    holders = line.holders()
    return Explanation(
        name=name,
        token=max((place.last_token for place in holders), default=0),
        holders=tuple(place.as_holder(name, now) for place in holders),
        waiters=tuple(
            place.as_waiter(name, now) for place in line.places[len(holders) :]
        ),
    )


def survey_of(root: str, entries: Sequence[Entry]) -> list[LockLine]:
    """Each lock that has claims, by name."""
    folders: dict[str, list[Entry]] = {}
    for entry in entries:
        folder, slash, _ = entry.key.rpartition("/")
        if folder.startswith(all_locks(root)):
            folders.setdefault(folder + slash, []).append(entry)
    found = []
    for folder, inside in folders.items():
        line = read_line(folder, inside)
        holders = line.holders()
        if holders:
            name = _shown(folder.removeprefix(all_locks(root))[:-1])
            who = tuple(sorted(place.session for place in holders))
            found.append(LockLine(name, who, len(line.places) - len(holders)))
    return sorted(found, key=lambda found: found.name)


@lru_cache(maxsize=4096)
def _step(name: str) -> str:
    if _HASHED.search(name):
        return name  # as `survey` shows the name of a lock that is too long
    escaped = quote(name, safe=_SAFE)
    if not escaped.strip("."):
        return escaped.replace(".", "%2E")  # "." and ".." would be steps of the path
    if len(escaped) <= _LONGEST:
        return escaped
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{escaped[: _LONGEST - 70]}%~{digest}"


def _shown(step: str) -> str:
    return step if _HASHED.search(step) else unquote(step)


def _place(folder: str, entry: Entry) -> Place:
    said = _said(entry.value)
    since = said.get("since")
    return Place(
        id=_id_of(folder, entry.key),
        key=entry.key,
        held_by=entry.session,
        created=entry.created,
        modified=entry.modified,
        shared=entry.flags == READS,
        session=str(said.get("session", entry.session)),
        owner=str(said.get("owner", "")),
        label=str(said.get("label", "")),
        since=float(since) if isinstance(since, (int, float)) else 0.0,
    )


def _said(value: bytes) -> dict[str, object]:
    """The record; of one that somebody else has written, whatever can be read."""
    try:
        said = json.loads(value)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _id_of(folder: str, key: str) -> str:
    return unquote(key.removeprefix(folder))


def _type_of(place: Place) -> LockType:
    return LockType.SHARED if place.shared else LockType.EXCLUSIVE
