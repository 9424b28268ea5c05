"""What became of a task, asked of a Redis server. Satisfies `Results`."""

from __future__ import annotations

from quorate.queue.ports import Found
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .broker import LETTERS
from .keys import QueueKeys

_FIND = load("quorate.queue.redis", "find")


class RedisResults:
    """The tasks of one queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def find(self, task_id: str, *, tell: str = "") -> Found:
        letter, body = await self._calls.call(
            _FIND, [self._keys.prefix], [task_id, tell]
        )
        return Found(LETTERS.get(letter), body)
