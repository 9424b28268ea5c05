"""The tasks between RabbitMQ and Redis: which are on their way, so that they are known.

A note is made before a task is sent and removed when it has arrived. Should the sender
die in between, the note stays: then asking again under the same id sends it.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.queue.guards import Rate
from quorate.queue.model import TaskState
from quorate.queue.ports import Audit, Found, QueueAdmin, Results
from quorate.queue.redis.keys import QueueKeys
from quorate.queue.views import Explanation
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

_PACKAGE = "quorate.queue.hybrid"
_SET_OFF = load(_PACKAGE, "set_off")
_CALL_BACK = load(_PACKAGE, "call_back")

REMEMBERED_S = 7 * 86_400.0
"""A task that was cancelled on its way is known when it arrives, so long at most."""

KNOWN, NEW, AGAIN = 0, 1, 2


class Transit:
    """The notes of one queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def set_off(self, ids: Sequence[str]) -> list[int]:
        """For each `NEW`, `AGAIN` or `KNOWN`; only what is known is not to be sent."""
        reply = await self._calls.call(_SET_OFF, [self._keys.prefix], list(ids))
        return [int(word) for word in reply]

    async def arrived(self, ids: Sequence[str]) -> None:
        """They are in Redis now."""
        await self._calls.command("HDEL", f"{self._keys.prefix}way", *ids)

    async def call_back(self, task_id: str) -> bool:
        """Cancel it; False if it is not on its way."""
        args: list[str | bytes | int] = [task_id, int(REMEMBERED_S * 1000)]
        return bool(await self._calls.call(_CALL_BACK, [self._keys.prefix], args))

    async def is_going(self, task_id: str) -> bool:
        """Is it on its way?"""
        way = f"{self._keys.prefix}way"
        return bool(await self._calls.command("HEXISTS", way, task_id))


class HybridResults:
    """Satisfies `Results`: what Redis knows, or that it will."""

    def __init__(self, results: Results, transit: Transit) -> None:
        self._results = results
        self._transit = transit

    async def find(self, task_id: str, *, tell: str = "") -> Found:
        found = await self._results.find(task_id, tell=tell)
        if found.state is None and await self._transit.is_going(task_id):
            return Found(TaskState.QUEUED)
        if found.state is None:  # it may have arrived between the two questions
            return await self._results.find(task_id, tell=tell)
        return found


class HybridAdmin:
    """Satisfies `QueueAdmin`: Redis does it, and knows of what is on its way."""

    def __init__(self, admin: QueueAdmin, transit: Transit) -> None:
        self._admin = admin
        self._transit = transit

    async def pause(self, *, paused: bool, task: str = "") -> None:
        await self._admin.pause(paused=paused, task=task)

    async def limit(self, rate: Rate | None, *, task: str = "") -> None:
        await self._admin.limit(rate, task=task)

    async def shed(self, level: int) -> int:
        return await self._admin.shed(level)

    async def audit(self) -> Audit:
        return await self._admin.audit()

    async def explain(self, task_id: str) -> Explanation | None:
        found = await self._admin.explain(task_id)
        if found is None and await self._transit.is_going(task_id):
            why = "It is in RabbitMQ; workers fetch it from there as they have room."
            return Explanation(id=task_id, state=TaskState.QUEUED, why=why)
        return found
