"""Calls to a Cluster: each goes to the node that serves the slot of its first key.

A node that does not serve it says so before it does anything, so a redirected call may
always be sent again. Satisfies `wire.ports.Caller`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from quorate.core.clock import Clock
from quorate.core.errors import (
    InvalidInput,
    OutcomeUnknown,
    QuorateError,
    StoreRefused,
    StoreUnavailable,
)

from .link import Reply
from .orders import CallStats
from .scripts import Script
from .slots import place_of, read_redirection, slot_of, spot_of, tag_of
from .topology import Topology

T = TypeVar("T")
Send = Callable[[str, bool], Awaitable[T]]
"""Sends a call to the node of this name; asking or not."""

MOST_TURNS = 200
FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.1


class ClusterCalls:
    """The same promises as `Calls`, over the nodes of a Cluster.

    A call whose slot is being moved waits for the end of the move, up to `timeout_s`.
    While a master is away and no other has taken its place, its slots are
    `StoreUnavailable`; the others are not concerned.
    """

    def __init__(self, topology: Topology, *, timeout_s: float, clock: Clock) -> None:
        self.topology = topology
        self._timeout_s = timeout_s
        self._clock = clock

    @property
    def is_connected(self) -> bool:
        """Is there a connection to every node that serves a slot?"""
        owners = self.topology.map.owners
        return bool(owners) and all(
            self.topology.node(name).is_connected for name in owners
        )

    def stats(self) -> CallStats:
        """The sums over all nodes."""
        rows = [calls.stats() for calls in self.topology.nodes()]
        return CallStats(
            requests=sum(row.requests for row in rows),
            writes=sum(row.writes for row in rows),
            connections=sum(row.connections for row in rows),
            pending=sum(row.pending for row in rows),
        )

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Reply:
        """Run `script` where the slot of its first key is served."""
        if not keys:
            raise InvalidInput(
                f"{script.name} cannot be called in a Cluster: it has no key.",
                "A key says which node it is for.",
            )
        slot, guard = place_of(keys[0])
        guarded = (*keys, guard)

        def send(name: str, asking: bool) -> Awaitable[Reply]:  # noqa: FBT001
            node = self.topology.node(name)
            return node.call(script, guarded, args, asking=asking)

        return await self.route(slot, send, again=script.idempotent)

    async def command(self, *words: str | bytes | int | float) -> Reply:
        """Send one command to the node of its key: the first word with a hash tag.

        One without such a word goes to any node.
        """

        def send(name: str, asking: bool) -> Awaitable[Reply]:  # noqa: FBT001
            return self.topology.node(name).command(*words, asking=asking)

        key = next((w for w in words if isinstance(w, str) and tag_of(w)), "")
        return await self.route(slot_of(key), send, again=False)

    async def close(self) -> None:
        """Cut all connections; callers still waiting get `OutcomeUnknown`."""
        await self.topology.close()

    async def route(self, slot: int, send: Send[T], *, again: bool) -> T:
        """Send to whoever serves `slot`, and follow redirections to the end.

        With `again` also what may have happened is sent, once more.
        """
        lost: OutcomeUnknown | None = None
        topology = self.topology
        name = topology.map.owner(slot) or await topology.owner(slot)
        asking = False
        patience: Patience | None = None
        for _ in range(MOST_TURNS):
            try:
                return await send(name, asking)
            except StoreRefused as error:
                patience = patience or Patience(self._clock, self._timeout_s)
                name, asking = await self._redirected(error, slot, name, patience)
            except OutcomeUnknown as error:
                topology.doubt(name)
                if not again or lost is not None:
                    raise
                lost = error
                name, asking = await self._owner_now(slot, name), False
            except StoreUnavailable as error:
                name, asking = await self._next_owner(lost or error, slot, name), False
        raise _restless(slot)

    async def _redirected(
        self, error: StoreRefused, slot: int, name: str, patience: Patience
    ) -> tuple[str, bool]:
        """Where to send it next, and whether to say ASKING there. It was not done."""
        found = read_redirection(error.why, spot_of(name))
        if found is None:
            raise error
        if found.kind == "moved":
            self.topology.learn(found.slot, found.node)
            if patience.turns:
                await patience.pause(slot)
            patience.turns += 1
            return found.node, False
        if found.kind == "ask":
            return found.node, True
        await patience.pause(slot)
        return await self.topology.owner(slot), False

    async def _owner_now(self, slot: int, name: str) -> str:
        """Who serves the slot now; `name` if nobody can tell."""
        try:
            await self.topology.refresh()
        except (StoreUnavailable, StoreRefused):
            return name
        return self.topology.map.owner(slot) or name

    async def _next_owner(self, error: QuorateError, slot: int, name: str) -> str:
        """Who serves the slot instead of `name`; raises `error` if nobody does yet."""
        topology = self.topology
        topology.doubt(name)
        if topology.map.owner(slot) == name:
            try:
                await topology.refresh()
            except (StoreUnavailable, StoreRefused):
                raise error from None
        if topology.map.owner(slot) == name:
            raise error
        return await topology.owner(slot)


class Patience:
    """Pauses that grow, up to a deadline."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + timeout_s
        self._pause_s = FIRST_PAUSE_S
        self.turns = 0

    async def pause(self, slot: int) -> None:
        """Rest a little; raises `StoreUnavailable` when the time is over."""
        if self._clock.monotonic() > self._until:
            raise _restless(slot)
        await self._clock.sleep(self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


def _restless(slot: int) -> StoreUnavailable:
    return StoreUnavailable(
        f"Slot {slot} of the Cluster is being moved.",
        "Its nodes do not serve it until the move is over.",
        "It was not done; try again.",
    )
