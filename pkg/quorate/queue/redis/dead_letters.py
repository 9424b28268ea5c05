"""The tasks that were set aside on a Redis server. Satisfies `DeadLetters`."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.codec import decode
from quorate.core.errors import InvalidPayload
from quorate.queue.envelope import read_header, read_payload
from quorate.queue.model import PRIORITIES
from quorate.queue.views import DeadLetter
from quorate.wire.ports import Caller
from quorate.wire.scripts import Script, load

from .keys import QueueKeys

_LIST = load("quorate.queue.redis", "list_dead")
_REVIVE = load("quorate.queue.redis", "revive")
_PURGE = load("quorate.queue.redis", "purge")

AT_ONCE = 100


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

    async def replay(self, ids: Sequence[str] | None = None) -> int:
        return await self._in_parts(_REVIVE, [self._keys.queue], ids)

    async def purge(self, ids: Sequence[str] | None = None) -> int:
        return await self._in_parts(_PURGE, [], ids)

    async def _in_parts(
        self, script: Script, head: Sequence[str], ids: Sequence[str] | None
    ) -> int:
        """All at once would hold the server up; each part is one short script."""
        keys, total = [self._keys.prefix], 0
        if ids is not None:
            for start in range(0, len(ids), AT_ONCE):
                part = ids[start : start + AT_ONCE]
                total += await self._calls.call(script, keys, (*head, AT_ONCE, *part))
            return total
        done = AT_ONCE
        while done == AT_ONCE:
            done = await self._calls.call(script, keys, (*head, AT_ONCE))
            total += done
        return total


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
