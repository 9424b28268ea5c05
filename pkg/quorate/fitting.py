"""The settings, cut to what each room wants, and what stands on more than one server.

Rooms know nothing of the settings tree; `node.py` hands each its own part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quorate.backend import Backend, Backends
from quorate.core.events import Emit, event_name
from quorate.health.model import HealthTerms
from quorate.observability.logs import LogSettings
from quorate.queue.door import config_of
from quorate.queue.manager import QueueManager
from quorate.queue.orders import KNOWN_EVENTS
from quorate.reactions.rules.degraded_mode import DegradedTerms
from quorate.registry.manager import RegistryConfig
from quorate.settings.tree import Settings


def queue_manager(
    backends: Backends, open_: Mapping[str, Backend], settings: Settings, emit: Emit
) -> QueueManager:
    """The queue, on one server or on two."""
    queue = open_[backends.queue]
    state = open_.get(backends.queue_state)
    return QueueManager(
        state or queue, config_of(settings), emit, queue if state else None
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


def log_settings(settings: Settings) -> LogSettings | None:
    """How log lines look; None for none."""
    logging = settings.logging
    if logging.level == "off":
        return None
    return LogSettings(
        logging.level, logging.format, logging.service, frozenset(logging.leave_out)
    )


def of_worker(settings: Settings) -> Settings:
    """What is different in a worker process.

    Its counts reach the supervisor by themselves: it opens no page of metrics. So do
    the events of its tasks and sessions, and there they are logged, once.
    """
    logging = settings.logging
    told = sorted({*logging.leave_out, *map(event_name, KNOWN_EVENTS.values())})
    return replace(
        settings,
        metrics=replace(settings.metrics, enabled=False),
        logging=replace(logging, leave_out=tuple(told)),
    )


def degraded_terms(settings: Settings) -> DegradedTerms:
    """How calmly degraded mode comes and goes."""
    reactions = settings.reactions
    return DegradedTerms(
        enter_after_s=reactions.enter_after_s,
        leave_after_s=reactions.leave_after_s,
        dwell_s=reactions.dwell_s,
        deepen_after_s=reactions.deepen_after_s,
    )
