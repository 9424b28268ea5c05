"""Messages in a Cluster: each channel is heard where its slot is served.

One subscription connection a node. When a slot moves or its master changes, its
channels are subscribed again at the new place, and then everybody is told to look at
the state, because what was published meanwhile is gone.
Satisfies `wire.ports.Listener`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.core.clock import Clock
from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.events import Emit, Event, ListenerFailed
from quorate.core.lifecycle import Duty, Tasks

from .inbox import REDIAL_S, Hear, Inbox, InboxLost, InboxRestored, Moved, Resync
from .slots import slot_of
from .topology import Topology

OpenInbox = Callable[[str, Emit, Moved], Inbox]
"""An inbox at the node of this name, not started yet."""

MOST_MOVES = 5
IDLE_S = 60.0


class ClusterInbox:
    """The same promises as `Inbox`, over the nodes of a Cluster."""

    name = "cluster inbox"

    def __init__(
        self, topology: Topology, open_inbox: OpenInbox, *, emit: Emit, clock: Clock
    ) -> None:
        self._topology = topology
        self._open_inbox = open_inbox
        self._emit = emit
        self._tasks = Tasks(emit, clock)
        self._duty: Duty | None = None
        self._nodes: dict[str, Inbox] = {}
        self._gates: dict[str, asyncio.Lock] = {}
        self._handlers: dict[str, list[Hear]] = {}
        self._places: dict[str, str] = {}
        self._homeless: set[str] = set()
        self._away: set[str] = set()
        self._resync: list[Resync] = []
        topology.on_change(self._rearrange)

    async def start(self) -> None:
        """Nothing is connected before the first subscription."""
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        """Close every connection; who waits for a confirmation gets an error."""
        await self._tasks.close()
        nodes, self._nodes = self._nodes, {}
        for inbox in nodes.values():
            await inbox.stop()

    def on_resync(self, resync: Resync) -> Callable[[], None]:
        """Call `resync` after messages may have been missed. Returns its undoing."""
        self._resync.append(resync)

        def leave() -> None:
            if resync in self._resync:
                self._resync.remove(resync)

        return leave

    async def subscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` from now on; returns when its node has confirmed it.

        Raises and keeps the handler as `Inbox.subscribe` does.
        """
        handlers = self._handlers.setdefault(channel, [])
        if hear not in handlers:
            handlers.append(hear)
        try:
            await self._settle(channel)
        except StoreUnavailable:
            self._lose(channel)
            raise

    def unsubscribe(self, channel: str, hear: Hear) -> None:
        """Hear `channel` no more."""
        handlers = self._handlers.get(channel, [])
        if hear in handlers:
            handlers.remove(hear)
        inbox = self._nodes.get(self._places.get(channel, ""))
        if inbox is not None:
            inbox.unsubscribe(channel, hear)
        if not handlers:
            self._handlers.pop(channel, None)
            self._places.pop(channel, None)
            self._homeless.discard(channel)

    async def tick(self) -> float:
        """Find a place for every channel that has none.

        While a node is away, its slots may pass to another at any time.
        """
        for name in self._away:
            self._topology.doubt(name)
        homeless = [channel for channel in self._homeless if channel in self._handlers]
        if homeless:
            found = await asyncio.gather(*(self._rehouse(each) for each in homeless))
            if any(found):
                self._missed()
        return REDIAL_S if self._homeless or self._away else IDLE_S

    async def _rehouse(self, channel: str) -> bool:
        try:
            await self._settle(channel)
        except (StoreUnavailable, StoreRefused):
            return False
        return True

    async def _settle(self, channel: str) -> None:
        """Subscribe where the slot of `channel` is served, wherever that moves."""
        slot, failure = slot_of(channel), StoreUnavailable(f"{channel} has no place.")
        for _ in range(MOST_MOVES):
            name = await self._topology.owner(slot)
            before = self._places.get(channel, name)
            if before != name:
                self._let_go(channel, before)
            self._places[channel] = name
            try:
                await self._subscribe_at(name, channel)
            except StoreUnavailable as error:
                failure = error
                self._topology.doubt(name)
                await self._topology.refresh()
                if self._topology.map.owner(slot) == name:
                    break
            else:
                self._homeless.discard(channel)
                return
        raise failure

    async def _subscribe_at(self, name: str, channel: str) -> None:
        inbox = await self._inbox(name)
        for hear in tuple(self._handlers.get(channel, ())):
            await inbox.subscribe(channel, hear)
            if hear not in self._handlers.get(channel, ()):
                inbox.unsubscribe(channel, hear)

    def _let_go(self, channel: str, name: str) -> None:
        inbox = self._nodes.get(name)
        if inbox is not None:
            for hear in self._handlers.get(channel, ()):
                inbox.unsubscribe(channel, hear)

    async def _inbox(self, name: str) -> Inbox:
        """The inbox at this node, connected when first needed."""
        async with self._gates.setdefault(name, asyncio.Lock()):
            inbox = self._nodes.get(name)
            if inbox is None:

                def heard(event: Event) -> None:
                    if isinstance(event, InboxLost):
                        self._away.add(name)
                        self._wake()
                    elif isinstance(event, InboxRestored):
                        self._away.discard(name)
                    self._emit(event)

                inbox = self._open_inbox(name, heard, self._lose)
                inbox.on_resync(self._missed)
                await inbox.start()
                self._nodes[name] = inbox
            return inbox

    def _lose(self, channel: str) -> None:
        """The channel is heard nowhere: look for its place."""
        if channel in self._handlers:
            self._homeless.add(channel)
            self._wake()

    def _wake(self) -> None:
        if self._duty is not None:
            self._duty.wake()

    def _rearrange(self, _slots: int) -> None:
        """The map has changed: move what is not where it belongs."""
        for channel, name in self._places.items():
            if self._topology.map.owner(slot_of(channel)) != name:
                self._lose(channel)
        for name in self._nodes.keys() - self._topology.map.owners:
            inbox = self._nodes.pop(name)
            self._away.discard(name)
            self._tasks.spawn(inbox.stop(), f"leave {name}")

    def _missed(self) -> None:
        for resync in tuple(self._resync):
            try:
                resync()
            except Exception as error:
                self._emit(
                    ListenerFailed(
                        heard=InboxRestored.__name__,
                        listener=getattr(resync, "__qualname__", repr(resync)),
                        error=f"{type(error).__name__}: {error}",
                    )
                )
