"""Looks through a whole queue for what does not add up, and puts it right.

It reads page by page, and meanwhile things move; so what it finds are only suspects.
A script judges them one by one, in one step each, and repairs.
"""

from __future__ import annotations

from collections import Counter

from quorate.queue.decide import death_note
from quorate.queue.model import LANES, DeadReason
from quorate.queue.ports import Audit
from quorate.wire.link import Reply
from quorate.wire.ports import Caller
from quorate.wire.scripts import Script, load

from .keys import QueueKeys

_MEND = load("quorate.queue.redis", "mend")
_TIDY = load("quorate.queue.redis", "tidy")

PAGE = 500
JUDGED_AT_ONCE = 50
RESULT_KEPT_MS = 3_600_000
LEFT_OVER = ("att", "prog", "wait")
"""Notes beside a task. `err` and `res` outlive it, with an end of their own."""


class Auditor:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys
        self._note = death_note(DeadReason.UNDECODABLE, "Why is not known.", 1, 1)

    async def audit(self) -> Audit:
        """One look at everything."""
        keys, jobs = self._keys, set(await self._fields("job"))
        owned = set(await self._fields("own"))
        dead = set(await self._members("dead"))
        places: Counter[bytes] = Counter(owned)
        places.update(dead)
        places.update(member[2:] for member in await self._members("due"))
        parked = set(await self._fields("parked"))
        places.update(parked)
        for lane in range(LANES):
            places.update(await self._lane(lane))
        suspects = owned | parked | (places.keys() - jobs)
        suspects |= {task for task, count in places.items() if count > 1}
        suspects |= dead ^ set(await self._fields("err"))
        suspects |= set(await self._fields("res")) ^ set(await self._members("resx"))
        suspects |= set(await self._members("stop")) - jobs
        for name in LEFT_OVER:
            suspects |= set(await self._fields(name)) - jobs
        head = (keys.queue, self._note, RESULT_KEPT_MS)
        places_of = (
            keys.sessions,
            keys.prefix,
            keys.with_claims,
            keys.queues_of(""),
        )
        repairs = await self._judge(_TIDY, places_of, head, suspects)
        lost = jobs - set(places) | owned | set(repairs[::2])
        back = await self._judge(
            _MEND, (keys.sessions, keys.prefix), (keys.queue,), lost
        )
        pairs = iter(repairs)
        tidied = tuple(
            (task.decode(), what.decode())
            for task, what in zip(pairs, pairs, strict=True)
        )
        return Audit(len(jobs), tuple(task.decode() for task in back), tidied)

    async def _judge(
        self,
        script: Script,
        keys: tuple[str, ...],
        head: tuple[str | bytes | int, ...],
        suspects: set[bytes],
    ) -> list[bytes]:
        found: list[bytes] = []
        listed = sorted(suspects)
        for start in range(0, len(listed), JUDGED_AT_ONCE):
            part = listed[start : start + JUDGED_AT_ONCE]
            found += await self._calls.call(script, keys, (*head, *part))
        return found

    async def _command(self, name: str, key: str, *args: str | int) -> Reply:
        return await self._calls.command(name, self._keys.prefix + key, *args)

    async def _lane(self, lane: int) -> list[bytes]:
        return await self._pages("LRANGE", f"r{lane}")

    async def _members(self, key: str) -> list[bytes]:
        """The members of a sorted set."""
        return await self._pages("ZRANGE", key)

    async def _pages(self, command: str, key: str) -> list[bytes]:
        members: list[bytes] = []
        page: list[bytes] = [b""] * PAGE
        while len(page) == PAGE:
            first = len(members)
            page = await self._command(command, key, first, first + PAGE - 1)
            members += page
        return members

    async def _fields(self, key: str) -> list[bytes]:
        """The fields of a hash."""
        fields: list[bytes] = []
        cursor: bytes | None = None
        while cursor != b"0":
            at = (cursor or b"0").decode()
            cursor, found = await self._command("HSCAN", key, at, "COUNT", PAGE)
            fields += found[::2]
        return fields
