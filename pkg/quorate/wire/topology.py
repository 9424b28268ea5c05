"""The nodes of a Cluster and who has which slot, as far as one event loop knows.

The map is asked of the nodes themselves: at the start, when a call is redirected, and
as long as a node gives cause for doubt (it is gone, or does not answer). A node that
turns out to have lost its slots is left at once, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from quorate.core.clock import Clock
from quorate.core.errors import QuorateError, StoreRefused, StoreUnavailable
from quorate.core.lifecycle import Duty, Tasks

from .calls import Calls
from .slots import NOBODY, SlotMap, read_slots, spot_of, spread

OpenCalls = Callable[[str], Calls]
"""A connection for calls to the node of this name."""

LOOK_EVERY_S = 0.25
DOUBT_EVERY_S = 0.5
SLOW_S = 1.0
"""A node that owes a reply for so long gives cause for doubt."""

HEDGE_S = 0.25
FRESH_S = 0.05


class Topology:
    """Where each slot is served. Belongs to the event loop in which it is first used.

    Raises `StoreUnavailable` when no node can be asked.
    """

    name = "topology"

    def __init__(
        self, seeds: Iterable[str], open_calls: OpenCalls, clock: Clock
    ) -> None:
        self.map = SlotMap()
        self._seeds = tuple(seeds)
        self._open_calls = open_calls
        self._clock = clock
        self._nodes: dict[str, Calls] = {}
        self._tasks = Tasks(clock=clock)
        self._duty: Duty | None = None
        self._asking: asyncio.Future[None] | None = None
        self._closed = False
        self._asked_at = float("-inf")
        self._doubts: set[str] = set()
        self._on_change: list[Callable[[int], None]] = []

    def on_change(self, told: Callable[[int], None]) -> None:
        """Call `told` with the number of slots that have another owner than before."""
        self._on_change.append(told)

    def node(self, name: str) -> Calls:
        """The connection for calls to this node."""
        if self._closed:
            raise StoreUnavailable("The connection to the Cluster is closed.")
        calls = self._nodes.get(name)
        if calls is None:
            calls = self._nodes[name] = self._open_calls(name)
            if self._duty is None:
                self._duty = self._tasks.employ(self)
        return calls

    def nodes(self) -> tuple[Calls, ...]:
        """All connections for calls."""
        return tuple(self._nodes.values())

    async def owner(self, slot: int) -> str:
        """The node that serves `slot`; asks for the map if it is not known."""
        name = self.map.owner(slot)
        if name == NOBODY:
            await self.refresh()
            name = self.map.owner(slot)
        if name == NOBODY:
            raise StoreUnavailable(
                f"Nobody serves slot {slot} of the Cluster.",
                "Its nodes say so themselves.",
                "Is every slot assigned, and has every master a replica?",
            )
        return name

    def learn(self, slot: int, name: str) -> None:
        """A node has said that `slot` is served by `name`: true until the map comes."""
        if self.map.owner(slot) != name:
            self._adopt(self.map.moved(slot, name))
            self.doubt()

    def doubt(self, name: str = NOBODY) -> None:
        """The map may be wrong about this node: ask until that is clear."""
        if name not in self._doubts:
            self._doubts.add(name)
            if self._duty is not None:
                self._duty.wake()

    async def refresh(self) -> None:
        """Ask for the map; whoever asks meanwhile shares the answer."""
        if self._closed:
            raise StoreUnavailable("The connection to the Cluster is closed.")
        if self._asking is None:
            if self._clock.monotonic() - self._asked_at < FRESH_S:
                return
            self._asking = asyncio.get_running_loop().create_future()
            self._tasks.spawn(self._refresh(self._asking), "slot map")
        await asyncio.shield(self._asking)

    async def tick(self) -> float:
        """Doubt who is slow; ask while there is doubt; leave who has lost its slots."""
        for name, calls in self._nodes.items():
            if calls.waits_s > SLOW_S:
                self._doubts.add(name)
        if not self._doubts:
            return LOOK_EVERY_S
        try:
            await self.refresh()
        except (StoreUnavailable, StoreRefused):
            return DOUBT_EVERY_S
        for name, calls in self._nodes.items():
            if name not in self.map.owners and not _is_well(calls):
                calls.leave("its slots are served by another node now")
        self._doubts = {name for name in self._doubts if self._is_doubtful(name)}
        return DOUBT_EVERY_S if self._doubts else LOOK_EVERY_S

    async def close(self) -> None:
        """Cut all connections."""
        self._closed = True
        await self._tasks.close()
        nodes, self._nodes = self._nodes, {}
        for calls in nodes.values():
            await calls.close()

    def _is_doubtful(self, name: str) -> bool:
        calls = self._nodes.get(name)
        return calls is not None and name in self.map.owners and not _is_well(calls)

    async def _refresh(self, done: asyncio.Future[None]) -> None:
        """A caller that is cancelled meanwhile does not stop it."""
        failure: QuorateError | None = StoreUnavailable(
            "Asking for the slots of the Cluster was given up.",
            "The connection was closed meanwhile.",
        )
        try:
            failure = await self._ask_around()
        finally:
            self._asking = None
            self._asked_at = self._clock.monotonic()
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
                done.exception()

    async def _ask_around(self) -> QuorateError | None:
        """Ask one node after the other, waiting long for none; the first answer is it.

        Returns the last error if there is none.
        """
        names = deque(self._candidates())
        asking: set[asyncio.Task[SlotMap | QuorateError]] = set()
        failure: QuorateError = StoreUnavailable("No node of the Cluster is known.")
        try:
            while names or asking:
                if names:
                    name = names.popleft()
                    asking.add(self._tasks.spawn(self._ask(name), f"ask {name}"))
                done, asking = await asyncio.wait(
                    asking,
                    timeout=HEDGE_S if names else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for answer in [task.result() for task in done]:
                    if isinstance(answer, SlotMap):
                        self._adopt(answer)
                        return None
                    failure = answer
        finally:
            for task in asking:
                task.cancel()
        return failure

    def _candidates(self) -> list[str]:
        """Whom to ask: those that serve first, those in doubt last."""
        known = (*self.map.owners, *self.map.replicas, *self._seeds)
        unfit = {name for name in known if name in self._doubts}
        return spread(known, unfit)

    async def _ask(self, name: str) -> SlotMap | QuorateError:
        try:
            rows = await self.node(name).command("CLUSTER", "SLOTS")
        except QuorateError as error:
            return error
        return read_slots(rows, spot_of(name))

    def _adopt(self, found: SlotMap) -> None:
        """Go by this map from now on."""
        before, self.map = self.map, found
        moved = sum(a != b for a, b in zip(before.nodes, found.nodes, strict=True))
        if moved and before.owners:
            for told in tuple(self._on_change):
                told(moved)


def _is_well(calls: Calls) -> bool:
    return calls.is_connected and calls.waits_s <= SLOW_S
