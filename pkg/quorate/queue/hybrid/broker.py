"""Tasks travel over RabbitMQ, and are kept, claimed and settled in Redis.

Satisfies `Broker` and `Claims`. All that Redis promises is promised: fences, results,
cancelling, tasks of any length. What is delayed, guarded (unique, a slot, a rate), or
enqueued under a lock, goes to Redis at once: there it waits to the millisecond, and
there guards and tokens are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from quorate.core.fence import Fence
from quorate.core.lifecycle import Tasks
from quorate.queue.guards import GUARDED
from quorate.queue.model import LANES, PRIORITIES, Lease, TaskState
from quorate.queue.ports import (
    Answer,
    Broker,
    Claims,
    Parcel,
    Request,
    RollAnswer,
    RollCall,
    TakenBack,
)
from quorate.queue.views import QueueStats

from .fetching import Lanes
from .relay import Relay
from .transit import KNOWN, NEW, Transit


class HybridBroker:
    """One queue."""

    def __init__(
        self,
        redis: Broker,
        claims: Claims,
        transit: Transit,
        lanes: Lanes,
        relay: Relay,
        tasks: Callable[[], Tasks],
    ) -> None:
        self.relay = relay
        self.lanes = lanes
        self._redis = redis
        self._claims = claims
        self._transit = transit
        self._tasks = tasks

    async def enqueue(
        self, parcels: Sequence[Parcel], fence: Fence | None = None
    ) -> Sequence[bool | str]:
        now = [each for each in parcels if is_now(each)]
        if fence is not None or not now:
            return await self._redis.enqueue(parcels, fence)
        if len(now) == len(parcels):
            return await self._send(now)
        later = [each for each in parcels if not is_now(each)]
        sent: dict[str, bool | str] = dict(
            zip((each.id for each in now), await self._send(now), strict=True)
        )
        kept = await self._redis.enqueue(later)
        sent.update(zip((each.id for each in later), kept, strict=True))
        return [sent[each.id] for each in parcels]

    async def exchange(self, request: Request) -> Answer:
        if request.slots.total and not self.relay.is_working:
            await self.lanes.ensure()
            self.relay.begin(self._tasks())
        answer = await self._redis.exchange(request)
        counts = [0] * LANES
        for lease in answer.leases:
            counts[lease.lane] += 1
        if answer.sight is not None:
            self.relay.saw(answer.sight)
        else:
            for lane, count in enumerate(counts):
                self.relay.taken(lane, count)
        return answer

    async def cancel(self, task_id: str) -> TaskState | None:
        state = await self._redis.cancel(task_id)
        if state is None and await self._transit.call_back(task_id):
            return TaskState.CANCELLED
        return state

    async def stats(self) -> QueueStats:
        stats = await self._redis.stats()
        waiting = await self.lanes.depths()
        ready = {
            priority: stats.ready[priority] + depth
            for priority, depth in zip(PRIORITIES, waiting, strict=True)
        }
        return replace(stats, ready=ready)

    async def roll_call(self, mine: RollCall) -> RollAnswer:
        return await self._claims.roll_call(mine)

    async def begin(self, lease: Lease) -> bool:
        return await self._claims.begin(lease)

    async def report(self, lease: Lease, progress: str) -> bool:
        return await self._claims.report(lease, progress)

    async def take_back(self, session: str) -> TakenBack:
        return await self._claims.take_back(session)

    async def leave(self, session: str) -> None:
        """The worker stops: what it has fetched and not put in goes back."""
        await self.relay.end()
        await self._claims.leave(session)

    async def _send(self, parcels: Sequence[Parcel]) -> list[bool]:
        """Note them, then send them; what is noted already is sent again."""
        once = {each.id: each for each in parcels}
        found = await self._transit.set_off(list(once))
        words = dict(zip(once, found, strict=True))
        await self.lanes.send([once[i] for i, word in words.items() if word != KNOWN])
        fresh = {task_id for task_id, word in words.items() if word == NEW}
        put_in = []
        for each in parcels:
            put_in.append(each.id in fresh)
            fresh.discard(each.id)
        return put_in


def is_now(parcel: Parcel) -> bool:
    """Is it to be done as soon as somebody has time, and nothing guards it?"""
    is_guarded = parcel.envelope.startswith(GUARDED)
    return parcel.delay_s <= 0 and parcel.at is None and not is_guarded
