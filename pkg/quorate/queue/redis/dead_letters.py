"""The tasks that were set aside on a Redis server. Satisfies `DeadLetters`."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.codec import decode
from quorate.core.errors import InvalidInput, InvalidPayload
from quorate.queue.envelope import read_header, read_payload
from quorate.queue.guards import Rate
from quorate.queue.model import PRIORITIES
from quorate.queue.views import DeadLetter, Which
from quorate.wire.link import Reply
from quorate.wire.ports import Caller
from quorate.wire.scripts import Script, load

from .keys import QueueKeys

_LIST = load("quorate.queue.redis", "list_dead")
_REVIVE = load("quorate.queue.redis", "revive")
_PURGE = load("quorate.queue.redis", "purge")
_PICK = load("quorate.queue.redis", "pick_dead")

AT_ONCE = 100
PAGE = 3 * 500


class RedisDeadLetters:
    """The dead letters of one queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def list(self, *, first: int = 0, most: int = 100) -> tuple[DeadLetter, ...]:
        words = await self._calls.call(_LIST, [self._keys.prefix], [first, most])
        found = iter(words)
        return tuple(
            _letter(task_id, died_ms, note, envelope)
            for task_id, died_ms, note, envelope in zip(
                found, found, found, found, strict=True
            )
        )

    async def replay(
        self,
        which: Which | Sequence[str] | None = None,
        *,
        rate: Rate | None = None,
        dry_run: bool = False,
    ) -> int:
        interval_us = 0 if rate is None else rate.interval_us
        head = (self._keys.queue, interval_us)
        return await self._each(_REVIVE, head, which, dry_run=dry_run)

    async def purge(
        self, which: Which | Sequence[str] | None = None, *, dry_run: bool = False
    ) -> int:
        return await self._each(_PURGE, (), which, dry_run=dry_run)

    async def _each(
        self,
        script: Script,
        head: tuple[str | int, ...],
        which: Which | Sequence[str] | None,
        *,
        dry_run: bool,
    ) -> int:
        """All at once would hold the server up; each part is one short script."""
        if isinstance(which, str):
            raise InvalidInput("Dead letters are named by a list of ids, not by text.")
        if not isinstance(which, Which):
            which = Which(ids=None if which is None else tuple(which))
        is_plain = which.ids is not None and which == Which(ids=which.ids)
        ids = await self._pick(which) if dry_run or not is_plain else which.ids or ()
        if dry_run:
            return len(ids)
        total = 0
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            total += await self._calls.call(script, [self._keys.prefix], (*head, *part))
        return total

    async def _pick(self, which: Which) -> Sequence[str]:
        """The ids of those that are chosen, the oldest first."""
        span = (_bound(which.since, "-inf"), _bound(which.until, "+inf", before=True))
        picked: dict[str, None] = {}
        words: Reply = [b""] * PAGE
        first = 0
        while len(words) == PAGE:
            words = await self._calls.call(
                _PICK, [self._keys.prefix], (*span, first, PAGE // 3)
            )
            found = iter(words)
            for task_id, note, header in zip(found, found, found, strict=True):
                reason = decode(note, "note of a death")["reason"]
                if which.takes(reason, _name_in(header)):
                    picked[task_id.decode()] = None
            first += PAGE // 3
        if which.ids is None:
            return tuple(picked)
        return [task_id for task_id in dict.fromkeys(which.ids) if task_id in picked]


def _letter(task_id: bytes, died_ms: bytes, note: bytes, envelope: bytes) -> DeadLetter:
    try:
        header, body = read_header(envelope)
        name, payload = header.name, read_payload(body)
    except InvalidPayload:
        name, payload = "", None
    facts = decode(note, "note of a death")
    return DeadLetter(
        id=task_id.decode(),
        name=name,
        reason=facts["reason"],
        error=facts["error"],
        attempt=facts["attempt"],
        priority=PRIORITIES[facts["lane"]],
        died_at=float(died_ms) / 1000,
        payload=payload,
    )


def _name_in(header: bytes) -> str:
    try:
        return read_header(header)[0].name
    except InvalidPayload:
        return ""


def _bound(when_s: float | None, otherwise: str, *, before: bool = False) -> str:
    if when_s is None:
        return otherwise
    return f"{'(' if before else ''}{round(when_s * 1000)}"
