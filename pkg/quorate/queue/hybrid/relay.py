"""Brings tasks from RabbitMQ to Redis, a little ahead of who works on them.

A task is put into Redis first and acknowledged then: a crash in between brings it a
second time, and it is known by its id. So much is fetched that no worker waits, and the
rest of a backlog stays with RabbitMQ.
"""

from __future__ import annotations

from quorate.core.errors import StoreError
from quorate.core.lifecycle import Duty, Tasks
from quorate.queue.lanes import Sight
from quorate.queue.model import LANES
from quorate.queue.ports import Broker, Parcel
from quorate.queue.rabbit.tap import Tap
from quorate.queue.rabbit.topology import Shape
from quorate.wire.rabbit import RabbitWire

from .transit import Transit

BATCH = 128
AGAIN_S = 0.25
IDLE_S = 15.0


class Relay:
    """A role, one for each queue of a worker process."""

    name = "relay"

    def __init__(
        self,
        wire: RabbitWire,
        shapes: tuple[Shape, ...],
        redis: Broker,
        transit: Transit,
        ahead: int,
    ) -> None:
        self._wire = wire
        self._redis = redis
        self._transit = transit
        self._ahead = ahead
        self._there = [0] * LANES
        self._duty: Duty | None = None
        self.moved = 0
        self.taps = tuple(
            Tap(lane, shape.name, BATCH, wire.clock, self._wake)
            for lane, shape in enumerate(shapes)
        )
        for tap in self.taps:
            tap.on_broken = self._broken

    def _broken(self, _error: BaseException | None) -> None:
        self._wake()

    @property
    def is_working(self) -> bool:
        return self._duty is not None

    def begin(self, tasks: Tasks) -> None:
        """Fetch from now on."""
        if self._duty is None:
            self._duty = tasks.employ(self)

    def saw(self, sight: Sight) -> None:
        """So many tasks wait in Redis now."""
        was_full = any(depth >= self._ahead for depth in self._there)
        self._there = list(sight.depths)
        if was_full:
            self._wake()

    def taken(self, lane: int, count: int) -> None:
        """Somebody here has claimed so many."""
        before = self._there[lane]
        self._there[lane] = max(0, before - count)
        if before >= self._ahead > self._there[lane]:
            self._wake()

    async def end(self) -> None:
        """Fetch no more. What is here and not in Redis goes back by itself."""
        self._duty = None
        for tap in self.taps:
            await tap.close()

    async def tick(self) -> float:
        """Move what fits."""
        if self._duty is None:
            return IDLE_S
        try:
            for tap in self.taps:
                await tap.open(self._wire.consuming)
                await self._move(tap)
        except StoreError:
            return AGAIN_S
        has_more = any(
            tap.letters and self._there[tap.lane] < self._ahead for tap in self.taps
        )
        return 0.0 if has_more else IDLE_S

    async def _move(self, tap: Tap) -> None:
        room = self._ahead - self._there[tap.lane]
        batch = [tap.letters[n] for n in range(min(room, BATCH, len(tap.letters)))]
        if not batch:
            return
        parcels = [Parcel(each.id, tap.lane, 0.0, each.envelope) for each in batch]
        put_in = await self._redis.enqueue(parcels)
        await self._transit.arrived([each.id for each in batch])
        came = sum(each is True for each in put_in)
        self._there[tap.lane] += came
        self.moved += came
        for letter in batch:
            if tap.letters and tap.letters[0] is letter:
                tap.letters.popleft()
            await tap.settle(letter)

    def _wake(self) -> None:
        if self._duty is not None:
            self._duty.wake()
