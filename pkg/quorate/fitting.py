"""The settings, cut to what each room wants.

Rooms know nothing of the settings tree; `node.py` hands each its own part.
"""

from __future__ import annotations

from quorate.health.model import HealthTerms
from quorate.lease.lease import LeaseTerms
from quorate.locks.model import LockConfig
from quorate.observability.logs import LogSettings
from quorate.queue.model import LaneWeights, QueueConfig, RetryPolicy
from quorate.reactions.rules.degraded_mode import DegradedTerms
from quorate.registry.manager import RegistryConfig
from quorate.resilience.backoff import exponential
from quorate.settings.tree import Settings
from quorate.wire.redis import WireLimits

RETRIES_A_TTL = 15
"""A renewal that failed is tried again so often within one ttl."""


def lease_terms(settings: Settings) -> LeaseTerms:
    """How the session is kept."""
    session = settings.session
    return LeaseTerms(
        ttl_s=session.ttl_s,
        renew_every_s=session.renew_every_s,
        retry_every_s=session.ttl_s / RETRIES_A_TTL,
        max_stall_s=session.max_stall_s,
    )


def wire_limits(settings: Settings) -> WireLimits:
    """The deadlines towards servers."""
    wire = settings.wire
    return WireLimits(wire.timeout_s, wire.connect_timeout_s)


def lock_config(settings: Settings) -> LockConfig:
    """What a lock does unless the caller says otherwise."""
    locks = settings.distributed_lock
    return LockConfig(
        default_timeout=locks.default_timeout,
        auto_extend=locks.auto_extend,
        wait_s=settings.locks.wait_s,
    )


def registry_config(settings: Settings) -> RegistryConfig:
    """How instances are announced and protected."""
    registry = settings.registry
    return RegistryConfig(
        check_interval=registry.resync_every_s, protect_share=registry.protect_share
    )


def health_terms(settings: Settings) -> HealthTerms:
    """What holds for all checks."""
    owner, health = settings.health_check, settings.health
    return HealthTerms(
        enabled=owner.global_.enabled,
        database_enabled=owner.database.enabled,
        redis_enabled=owner.redis.enabled,
        check_interval=owner.global_.check_interval,
        timeout=health.timeout_s,
        rise=health.rise,
        fall=health.fall,
        history=health.history,
    )


def queue_config(settings: Settings) -> QueueConfig:
    """Lanes, limits and patience of the queues."""
    queue, workers = settings.queue, settings.messaging.workers
    return QueueConfig(
        queues=tuple(workers.queues),
        concurrency=queue.concurrency,
        weights=LaneWeights(
            queue.weights.high, queue.weights.normal, queue.weights.low
        ),
        age_floor_s=queue.age_floor_s,
        reserved_for_high=queue.reserved_for_high,
        retry=RetryPolicy(
            attempts=queue.retries.attempts,
            backoff=exponential(
                queue.retries.backoff_base_s, queue.retries.backoff_cap_s
            ),
        ),
        attempt_timeout_s=queue.attempt_timeout_s,
        result_ttl_s=queue.result_ttl_s,
        payload_max_bytes=queue.payload_max_bytes,
        grace_s=queue.grace_s,
    )


def log_settings(settings: Settings) -> LogSettings | None:
    """How log lines look; None for none."""
    logging = settings.logging
    if logging.level == "off":
        return None
    return LogSettings(logging.level, logging.format, logging.service)


def degraded_terms(settings: Settings) -> DegradedTerms:
    """How calmly degraded mode comes and goes."""
    reactions = settings.reactions
    return DegradedTerms(
        enter_after_s=reactions.enter_after_s,
        leave_after_s=reactions.leave_after_s,
        dwell_s=reactions.dwell_s,
    )
