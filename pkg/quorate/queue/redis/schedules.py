"""The schedules of one queue on a Redis server. Satisfies `ScheduleStore`.

`cron` is a HASH name → record, `cronz` a ZSET name → when to look at it next. A record
and the tasks of its firings are written by one script, which compares first.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.queue.ports import Parcel
from quorate.queue.schedule_store import Looked, Moved
from quorate.wire.link import Reply
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .keys import QueueKeys
from .words import put_in_words

_LOOK = load("quorate.queue.redis", "look_at_schedules")
_MOVE = load("quorate.queue.redis", "move_schedule")


class RedisSchedules:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def due(self, most: int) -> Looked:
        return await self._look("due", most)

    async def all(self) -> Looked:
        return await self._look("all", 0)

    async def one(self, name: str) -> Looked:
        return await self._look("one", name)

    async def move(
        self,
        name: str,
        before: bytes,
        after: bytes,
        look_at: float | None,
        parcels: Sequence[Parcel] = (),
    ) -> Moved:
        reply = await self._calls.call(
            _MOVE,
            [self._keys.prefix],
            [
                name,
                before,
                after,
                "" if look_at is None else round(look_at * 1000),
                *put_in_words(self._keys.queue, parcels),
            ],
        )
        if isinstance(reply, list):
            return Moved(is_ours=True, put_in=sum(map(int, reply)))
        return Moved(is_ours=reply != 0, put_in=0)

    async def _look(self, what: str, which: str | int) -> Looked:
        reply = await self._calls.call(_LOOK, [self._keys.prefix], [what, which])
        return looked(reply)


def looked(reply: Reply) -> Looked:
    """The script's answer in our words."""
    now_ms, next_ms, found = reply
    return Looked(
        now=now_ms / 1000,
        next_in_s=None if next_ms < 0 else next_ms / 1000,
        records=tuple(zip(found[::2], map(bool, found[1::2]), strict=True)),
    )
