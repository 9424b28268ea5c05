"""A callback that gets the new list of instances after each change."""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.clock import Clock
from quorate.core.events import Emit
from quorate.watch.callbacks import Callbacks

from .model import ServiceInfo, Snapshot

OnList = Callable[[list[ServiceInfo]], object]
"""Called with the new list of instances; plain or async."""


class ServiceWatcher:
    """One watched service. `last_update` is the wall time of the last list."""

    def __init__(
        self, service_name: str, callback: OnList, emit: Emit, clock: Clock
    ) -> None:
        self.service_name = service_name
        self.callback = callback
        self.last_update: float | None = None
        self.on_close: Callable[[], None] = lambda: None
        self._clock = clock
        self._known: tuple[ServiceInfo, ...] | None = None
        self._callbacks: Callbacks[[list[ServiceInfo]]] = Callbacks(
            f"service {service_name}", emit
        )
        self._leave = self._callbacks.add(callback)

    def tell(self, snapshot: Snapshot) -> None:
        """Call back with the list, unless it is the one that was told last."""
        if snapshot.instances == self._known:
            return
        self._known = snapshot.instances
        self.last_update = self._clock.now()
        self._callbacks.tell(list(snapshot.instances))

    async def close(self) -> None:
        """Call back no more. Twice is harmless."""
        self.on_close()
        self.on_close = lambda: None
        self._leave()
        await self._callbacks.stop()
