"""Chains and groups of one queue on a Redis server. Satisfies `FlowStore`.

`link` is a HASH task → what follows it, `g:<id>` a HASH for each group under way.
A flow goes in with one call, a large one with several, its last step with the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.queue.flow import Plan
from quorate.queue.ports import Parcel
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .keys import QueueKeys
from .words import put_in_words

_PUT_IN = load("quorate.queue.redis", "put_in_flow")

AT_ONCE = 128


class RedisFlows:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def put_in(self, plan: Plan) -> int:
        """Put a flow in; how many of its tasks were not known before."""
        *first, last = plan.parcels
        parcels = [last, *first]
        return sum(
            [
                await self._part(plan, parcels[start : start + AT_ONCE])
                for start in range(0, len(parcels), AT_ONCE)
            ]
        )

    async def _part(self, plan: Plan, parcels: Sequence[Parcel]) -> int:
        group = plan.group
        head: list[str | bytes | int] = ["", 0, "", ""]
        if group is not None:
            head = [group.id, group.size, group.rule, "\n".join(group.ids)]
        ids = [parcel.id for parcel in parcels if parcel.id in plan.links]
        links = [word for each in ids for word in (each, plan.links[each])]
        words = put_in_words(self._keys.queue, parcels)
        reply = await self._calls.call(
            _PUT_IN, [self._keys.prefix], [*head, len(ids), *links, *words]
        )
        return sum(map(int, reply))
