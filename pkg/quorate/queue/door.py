"""The way in for who wants queues alone, without a node.

Addresses and limits come from the settings where the call does not give them.
"""

from __future__ import annotations

from quorate.core.errors import MissingCapability
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Household
from quorate.resilience.backoff import exponential
from quorate.settings.backing import backend_for
from quorate.settings.load import load_settings
from quorate.settings.tree import Settings

from .manager import QueueManager
from .model import LaneWeights, QueueConfig, QueueType
from .patience import RetryPolicy


async def get_queue_manager(
    kind: QueueType = QueueType.REDIS,
    url: str | None = None,
    *,
    config: QueueConfig | None = None,
    emit: Emit = silent,
    settings: Settings | None = None,
) -> QueueManager:
    """A queue manager that is ready for use, with a session of its own.

    Without `url` the address is that of the settings. Close it with `await
    manager.stop()`, or use it with `async with`. Raises `InvalidUrl`,
    `InvalidSettings`, `StoreUnavailable`, and `MissingCapability` for a kind that this
    version cannot use.
    """
    if kind is not QueueType.REDIS:
        raise MissingCapability(
            f"QueueType.{kind.name} cannot be used yet.",
            "The RabbitMQ backend is not part of this version.",
            "Use QueueType.REDIS.",
        )
    settings = settings or load_settings()
    url = url or settings.messaging.redis.url.reveal()
    backend = backend_for(url, settings, emit)
    household = Household()
    await household.start(backend)
    manager = QueueManager(backend, config or config_of(settings), emit)
    await household.start(manager)
    manager.owns_backend()
    return manager


def config_of(settings: Settings) -> QueueConfig:
    """What the settings say of queues."""
    queue, retries = settings.queue, settings.queue.retries
    weights = queue.weights
    return QueueConfig(
        queues=settings.messaging.workers.queues,
        concurrency=queue.concurrency,
        weights=LaneWeights(weights.high, weights.normal, weights.low),
        strict=queue.strict,
        age_floor_s=queue.age_floor_s,
        reserved_for_high=queue.reserved_for_high,
        retry=RetryPolicy(
            retries.attempts,
            exponential(retries.backoff_base_s, retries.backoff_cap_s),
        ),
        retry_share=retries.budget_share,
        retry_floor_per_s=retries.budget_floor,
        crash_budget=queue.crash_budget,
        attempt_timeout_s=queue.attempt_timeout_s,
        result_ttl_s=queue.result_ttl_s,
        result_max_bytes=queue.result_max_bytes,
        payload_max_bytes=queue.payload_max_bytes,
        dead_letters_max=queue.dead_letters.most,
        dead_letters_keep_s=queue.dead_letters.keep_s,
        poll_s=queue.poll_s,
        roll_call_s=queue.roll_call_s,
        grace_s=queue.grace_s,
        max_stall_s=settings.session.max_stall_s,
        recycle_after_tasks=queue.recycle_after_tasks,
        recycle_above_bytes=queue.recycle_above_bytes,
        outbox_dir=queue.outbox.dir,
        outbox_max_bytes=queue.outbox.max_bytes,
    )
