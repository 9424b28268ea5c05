"""The way in for who wants queues alone, without a node.

Addresses and limits come from the settings where the call does not give them.
"""

from __future__ import annotations

from quorate.core.errors import InvalidInput
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Household
from quorate.resilience.backoff import exponential
from quorate.settings.backing import backend_for
from quorate.settings.load import load_settings
from quorate.settings.tree import Settings
from quorate.wire.urls import RABBIT, scheme_of

from .manager import QueueManager
from .model import LaneWeights, QueueConfig, QueueType
from .patience import RetryPolicy


async def get_queue_manager(
    kind: QueueType | str = QueueType.REDIS,
    url: str | None = None,
    *,
    state: str | None = None,
    config: QueueConfig | None = None,
    emit: Emit = silent,
    settings: Settings | None = None,
) -> QueueManager:
    """A queue manager that is ready for use, with a session of its own.

    Instead of a kind the address alone will do: `get_queue_manager("amqp://…")`.
    Without one it is that of the settings. With `state`, a Redis, tasks travel over
    RabbitMQ and their state is kept there. Close it with `await manager.stop()`, or use
    it with `async with`. Raises `InvalidUrl`, `InvalidSettings`, `StoreUnavailable`,
    and `MissingCapability` for what the server cannot do.
    """
    settings = settings or load_settings()
    url, state = _addresses(kind, url, state, settings)
    backends = [backend_for(each, settings, emit) for each in (state, url) if each]
    household = Household()
    await household.start(*backends)
    manager = QueueManager(
        backends[0],
        config or config_of(settings),
        emit,
        transport=backends[1] if state else None,
    )
    await household.start(manager)
    manager.owns_backend()
    return manager


def _addresses(
    kind: QueueType | str, url: str | None, state: str | None, settings: Settings
) -> tuple[str, str]:
    """Where the tasks are, and where their state is if that is elsewhere."""
    messaging = settings.messaging
    if isinstance(kind, str):
        url, kind = kind, QueueType.RABBITMQ if is_rabbit(kind) else QueueType.REDIS
    if kind is QueueType.REDIS:
        url = url or messaging.redis.url.reveal()
    elif url is None:
        url = messaging.rabbitmq.url.reveal()
        if messaging.rabbitmq.keep_state:
            state = state or messaging.redis.url.reveal()
    if is_rabbit(url) != (kind is QueueType.RABBITMQ):
        raise InvalidInput(
            f"QueueType.{kind.name} does not go with {scheme_of(url)}://.",
            "",
            "Give the address alone: get_queue_manager(url).",
        )
    if state and kind is QueueType.REDIS:
        raise InvalidInput(
            "state is given, and the queue is on Redis.",
            "There a queue keeps its own state.",
            "Leave it out.",
        )
    return url, state or ""


def is_rabbit(url: str) -> bool:
    """Does this address name a RabbitMQ?"""
    return scheme_of(url) in RABBIT


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
