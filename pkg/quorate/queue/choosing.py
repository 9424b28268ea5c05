"""Which implementation stands behind a queue manager: decided by its servers."""

from __future__ import annotations

from quorate.backend import Backend
from quorate.core.events import Emit
from quorate.wire.rabbit import RabbitWire
from quorate.wire.redis import Wire

from .model import QueueConfig
from .place import Queues
from .redis.queues import RedisQueues


def queues_on(
    backend: Backend, config: QueueConfig, emit: Emit, transport: Backend | None = None
) -> Queues:
    """The queues on the server of `backend`.

    With `transport` that server keeps the state, and tasks travel over the transport's.
    Raises `MissingCapability` for servers that cannot do it.
    """
    if transport is not None and isinstance(transport.server, RabbitWire):
        from .hybrid.queues import HybridQueues

        redis = RedisQueues(backend.wire, config, emit, backend.session.id)
        return HybridQueues(redis, backend.wire, transport.server, config, emit)
    if isinstance(backend.server, RabbitWire):
        from .rabbit.queues import RabbitQueues

        return RabbitQueues(backend.server, config, emit)
    wire: Wire = backend.wire
    return RedisQueues(wire, config, emit, backend.session.id)
