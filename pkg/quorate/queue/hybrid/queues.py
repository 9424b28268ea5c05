"""All task queues that travel over one RabbitMQ and are kept in one Redis."""

from __future__ import annotations

import math
from dataclasses import replace

from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.queue.model import QueueConfig
from quorate.queue.place import Place
from quorate.queue.redis.keys import QueueKeys
from quorate.queue.redis.mailbox import Mailbox
from quorate.queue.redis.queues import RedisQueues
from quorate.wire.rabbit import RabbitWire
from quorate.wire.redis import Wire

from .broker import HybridBroker
from .fetching import Lanes
from .relay import Relay
from .transit import HybridAdmin, HybridResults, Transit

LEAST_AHEAD = 64


class HybridQueues:
    """The queues, opened when first needed."""

    longest_attempt_s = math.inf

    def __init__(
        self,
        redis: RedisQueues,
        state: Wire,
        transport: RabbitWire,
        config: QueueConfig,
        emit: Emit,
    ) -> None:
        self._redis = redis
        self._state = state
        self._transport = transport
        self._config = config
        self._emit = emit
        self._tasks = Tasks(emit, transport.clock)
        self._places: dict[str, Place] = {}
        self._brokers: dict[str, HybridBroker] = {}

    async def start(self) -> None:
        self._tasks = Tasks(self._emit, self._transport.clock)
        await self._redis.start()

    async def stop(self) -> None:
        for broker in self._brokers.values():
            await broker.relay.end()
        await self._tasks.close()
        await self._redis.stop()

    def place(self, queue: str) -> Place:
        """The queue of this name."""
        found = self._places.get(queue)
        if found is None:
            inner = self._redis.place(queue)
            transit = Transit(self._state.calls, QueueKeys(self._state.keys, queue))
            lanes = Lanes(self._transport, queue)
            ahead = max(LEAST_AHEAD, 2 * self._config.concurrency)
            relay = Relay(self._transport, lanes.shapes, inner.broker, transit, ahead)
            broker = HybridBroker(
                inner.broker, inner.claims, transit, lanes, relay, lambda: self._tasks
            )
            self._brokers[queue] = broker
            found = self._places[queue] = replace(
                inner,
                broker=broker,
                claims=broker,
                results=HybridResults(inner.results, transit),
                admin=HybridAdmin(inner.admin, transit),
            )
        return found

    def mailbox(self, session_id: str) -> Mailbox:
        """Where this process hears of its tasks: from Redis."""
        return self._redis.mailbox(session_id)

    def index_key(self, tag: str) -> str:
        """The sessions with claims in any queue of `tag`."""
        return self._redis.index_key(tag)

    async def clean(self, tag: str, session: str) -> None:
        """Put back what a dead session has claimed."""
        await self._redis.clean(tag, session)
