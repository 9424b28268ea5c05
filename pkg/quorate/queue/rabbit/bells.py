"""Messages inside one process, in the place of those that a Redis sends.

Satisfies `wire.ports.Listener`. What RabbitMQ sends comes to this process anyway, so
the bell for an idle worker is rung here.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.wire.inbox import Hear, Resync


class Bells:
    """Who hears which channel in this process."""

    def __init__(self) -> None:
        self._heard: dict[str, list[Hear]] = {}
        self._resyncs: list[Resync] = []

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        self._heard.clear()

    def on_resync(self, resync: Resync) -> Callable[[], None]:
        self._resyncs.append(resync)
        return lambda: self._resyncs.remove(resync)

    async def subscribe(self, channel: str, hear: Hear) -> None:
        self._heard.setdefault(channel, []).append(hear)

    def unsubscribe(self, channel: str, hear: Hear) -> None:
        listeners = self._heard.get(channel, [])
        if hear in listeners:
            listeners.remove(hear)

    def tell(self, channel: str, message: bytes) -> None:
        """Let everybody there hear it."""
        for hear in tuple(self._heard.get(channel, ())):
            hear(message)

    def look_again(self) -> None:
        """There is a new connection: look whether there is work."""
        for resync in tuple(self._resyncs):
            resync()
