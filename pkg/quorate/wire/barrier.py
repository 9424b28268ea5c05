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
from .slots import guard_of, slot_of, tag_of

MOST_AT_ONCE = 64
MOST_IDLE = 8
MARK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the script answered, and how many replicas are known to have its effect."""

    reply: Reply
    replicas: int


class ConfirmingCalls(Calls):
    """One connection for one such call at a time."""

    async def confirmed(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | bytes | int],
        *,
        wait: tuple[int, float],
        asking: bool = False,
    ) -> Confirmed:
        """Run `script` and wait for so many replicas, at most so many seconds."""
        sha, text = script.spoken(self._dialect)
        order = Order(script.name, asking=asking)
        tail = (len(keys), *keys, *args)
        mark = f"{tag_of(keys[0]) or keys[0]}:b"
        try:
            return await self._confirm(pack("EVALSHA", sha, *tail), order, mark, wait)
        except StoreRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self._confirm(pack("EVAL", text, *tail), order, mark, wait)

    async def _confirm(
        self, packed: bytes, order: Order, mark: str, wait: tuple[int, float]
    ) -> Confirmed:
        """Once the script has answered, whatever goes wrong counts as no replica."""
        if not self.is_connected:
            await self._connect()
        replicas, within_s = wait
        within_ms = max(1, round(within_s * 1000))
        script = self._send(packed, order)
        marked = self._put(pack("SET", mark, "1", "PX", MARK_MS), "SET")
        waited = self._put(pack("WAIT", replicas, within_ms), "WAIT", more_s=within_s)
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
        wait = (replicas, within_s)
        async with self._gate:
            if not isinstance(self._calls, ClusterCalls):
                return await self._through("", script, (keys, args), wait)
            guarded = (*keys, guard_of(keys[0]))

            async def send(name: str, asking: bool) -> Confirmed:  # noqa: FBT001
                what = (guarded, args)
                return await self._through(name, script, what, wait, asking=asking)

            return await self._calls.route(slot_of(keys[0]), send, again=False)

    async def close(self) -> None:
        """Cut all connections."""
        self._closed = True
        idle, self._idle = self._idle, {}
        for lines in idle.values():
            for line in lines:
                await line.close()

    async def _through(
        self,
        name: str,
        script: Script,
        what: tuple[Sequence[str], Sequence[str | bytes | int]],
        wait: tuple[int, float],
        *,
        asking: bool = False,
    ) -> Confirmed:
        """Over a connection to this node that nobody uses, opened if there is none."""
        idle = self._idle.setdefault(name, [])
        line = idle.pop() if idle else self._open(name)
        try:
            confirmed = await line.confirmed(script, *what, wait=wait, asking=asking)
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
