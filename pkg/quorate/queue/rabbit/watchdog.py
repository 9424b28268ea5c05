"""Looks whether what should come does come.

A consumer can be gone without a word: its queue was made anew, or the broker forgot it.
So now and then the broker is asked: tasks that wait and nobody who takes them, or
nothing delivered for long to a tap that has room, and the tap is opened again. Between
the looks it gives back what waits here in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from quorate.core.errors import StoreError
from quorate.core.events import Emit, Event
from quorate.wire.rabbit import RabbitWire

from .broker import RabbitBroker
from .tap import Tap

LOOK_EVERY_S = 15.0
SILENT_S = 30.0
TICK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerRevived(Event):
    """RabbitMQ had tasks and sent none; its consumer was made anew."""

    level: ClassVar[str] = "warning"
    queue: str
    waiting: int


class Watchdog:
    """A role, one a process."""

    name = "rabbit watchdog"

    def __init__(
        self, wire: RabbitWire, brokers: Mapping[str, RabbitBroker], emit: Emit
    ) -> None:
        self._wire = wire
        self._brokers = brokers
        self._emit = emit
        self._next_look = wire.clock.monotonic() + LOOK_EVERY_S

    async def tick(self) -> float:
        """One round."""
        try:
            for broker in tuple(self._brokers.values()):
                await broker.tidy()
            if self._wire.clock.monotonic() >= self._next_look:
                self._next_look = self._wire.clock.monotonic() + LOOK_EVERY_S
                await self.look()
        except StoreError:
            return TICK_S  # it is away; the lines make themselves anew
        return TICK_S

    async def look(self) -> None:
        """Ask the broker of every open tap."""
        for broker in tuple(self._brokers.values()):
            for tap in broker.reception.taps:
                if tap.has_room:
                    await self._look_at(broker, tap)

    async def _look_at(self, broker: RabbitBroker, tap: Tap) -> None:
        waiting, consumers = await broker.sending.watched(tap.name)
        silent_s = self._wire.clock.monotonic() - tap.last_at
        if waiting and (not consumers or silent_s > SILENT_S):
            await tap.shut()
            tap.start_anew()
            await tap.open(self._wire.consuming)
            self._emit(ConsumerRevived(queue=tap.name, waiting=waiting))
