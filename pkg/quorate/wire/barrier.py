"""A script, and how many replicas have its effect.

Replication is asynchronous, so what a master has granted may be lost with it. Here the
script and WAIT leave in one write on a connection that nobody else uses: as many round
trips as without. WAIT alone counts only what its own connection has written, and a
script that was sent twice writes nothing the second time; so a small write of our own
stands between the two (Valkey 9 needs it, Redis 7 would not).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core.errors import (
    InvalidInput,
    MissingCapability,
    StoreError,
    StoreRefused,
)

from .calls import Calls
from .cluster_calls import ClusterCalls
from .link import Reply, pack
from .orders import Order, heeded
from .ports import Caller
from .scripts import Script
from .slots import place_of, tag_of

MOST_AT_ONCE = 64
MOST_IDLE = 8
MARK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A script with its keys and arguments, and what it is to wait for."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | bytes | int]
    replicas: int
    within_s: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the script answered, and how many replicas are known to have its effect."""

    reply: Reply
    replicas: int


class ConfirmingCalls(Calls):
    """One connection for one such call at a time."""

    async def confirmed(self, what: Wanted, *, whole: bool, asking: bool) -> Confirmed:
        """Run the script, by its digest or `whole`, and wait for the replicas.

        Once the script has answered, whatever goes wrong counts as no replica.
        """
        if not self.is_connected:
            await self._connect()
        sha, text = what.script.spoken(self._dialect)
        head = ("EVAL", text) if whole else ("EVALSHA", sha)
        packed = pack(*head, len(what.keys), *what.keys, *what.args)
        mark = f"{tag_of(what.keys[0]) or what.keys[0]}:b"
        within_ms = max(1, round(what.within_s * 1000))
        script = self._send(packed, Order(what.script.name, asking=asking))
        marked = self._put(pack("SET", mark, "1", "PX", MARK_MS), "SET")
        waited = self._put(
            pack("WAIT", what.replicas, within_ms), "WAIT", more_s=what.within_s
        )
        for future in (marked, waited):
            future.add_done_callback(heeded)
        reply = await script
        try:
            await marked
            return Confirmed(reply, int(await waited))
        except StoreError:
            return Confirmed(reply, 0)


class Barrier:
    """Calls that tell how many replicas have got them. Belongs to one event loop."""

    def __init__(self, calls: Caller) -> None:
        """Beside `calls`, which is asked where to go, and used for nothing else."""
        self._calls = calls
        self._idle: dict[str, list[ConfirmingCalls]] = {}
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._closed = False

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | bytes | int],
        *,
        replicas: int,
        within_s: float,
    ) -> Confirmed:
        """Run `script`; wait until `replicas` have its effect, at most `within_s`.

        Fewer may have it in the end: then it is for the caller to undo it. Raises as
        `Calls.call` does; `OutcomeUnknown` means that the effect may be there, and it
        is never sent a second time by itself.
        """
        if replicas < 1 or within_s <= 0:
            raise InvalidInput(
                f"There is nothing to wait for: {replicas} replicas in {within_s:g} s.",
                "",
                "Wait for one replica or more, for some time.",
            )
        calls = self._calls
        async with self._gate:
            if not isinstance(calls, ClusterCalls):
                what = Wanted(script, keys, args, replicas, within_s)
                return await self._at("", what)
            slot, guard = place_of(keys[0])
            guarded = (*keys, guard)
            what = Wanted(script, guarded, args, replicas, within_s)

            async def send(name: str, asking: bool) -> Confirmed:  # noqa: FBT001
                return await self._at(name, what, asking=asking)

            return await calls.route(slot, send, again=False)

    async def close(self) -> None:
        """Cut all connections."""
        self._closed = True
        idle, self._idle = self._idle, {}
        for lines in idle.values():
            for line in lines:
                await line.close()

    async def _at(self, name: str, what: Wanted, *, asking: bool = False) -> Confirmed:
        """A script that the node has forgotten is sent whole, over a fresh connection:

        on the first one a WAIT for nothing stands in the way.
        """
        try:
            return await self._through(name, what, whole=False, asking=asking)
        except StoreRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self._through(name, what, whole=True, asking=asking)

    async def _through(
        self, name: str, what: Wanted, *, whole: bool, asking: bool
    ) -> Confirmed:
        """Over a connection to this node that nobody uses, opened if there is none."""
        idle = self._idle.setdefault(name, [])
        line = idle.pop() if idle else self._open(name)
        try:
            confirmed = await line.confirmed(what, whole=whole, asking=asking)
        except BaseException:
            await line.close()
            raise
        if self._closed or len(idle) >= MOST_IDLE or not line.is_connected:
            await line.close()
        else:
            idle.append(line)
        return confirmed

    def _open(self, name: str) -> ConfirmingCalls:
        calls = self._calls
        node = calls.topology.node(name) if isinstance(calls, ClusterCalls) else calls
        if not isinstance(node, Calls):
            raise MissingCapability("This server has no replicas to wait for.")
        return node.beside(ConfirmingCalls)
