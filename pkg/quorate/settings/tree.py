"""All settings of Quorate as one frozen tree.

Built whole by `load_settings`, or not at all. What one field alone cannot show is
checked here (`contradictions`). Pure.
"""

# ruff: noqa: RUF009 — `setting` and `section` make dataclass fields, not values
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quorate.core.errors import QuorateError
from quorate.core.names import check_name
from quorate.core.shape import Fault, section, setting

from .owner import (
    DistributedLockSettings,
    DynamicConfigSettings,
    HealthCheckSettings,
    MessagingSettings,
)
from .queueing import QueueSettings
from .sections import (
    HealthSettings,
    LockSettings,
    LoggingSettings,
    MetricsSettings,
    ReactionSettings,
    RegistrySettings,
    SessionSettings,
    WireSettings,
)

SHORTEST_HOLD_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. Secrets in it are masked when shown."""

    namespace: str = setting(
        "quorate",
        "Keeps systems apart that share a server: it begins every key.",
    )
    data_dir: str = setting(
        "",
        "Where the last known good configuration is kept; empty keeps none on disk.",
        unit="directory",
        env=("DATA_DIR",),
    )
    messaging: MessagingSettings = section(MessagingSettings)
    distributed_lock: DistributedLockSettings = section(DistributedLockSettings)
    health_check: HealthCheckSettings = section(HealthCheckSettings)
    dynamic_config: DynamicConfigSettings = section(DynamicConfigSettings)
    session: SessionSettings = section(SessionSettings)
    wire: WireSettings = section(WireSettings)
    locks: LockSettings = section(LockSettings)
    queue: QueueSettings = section(QueueSettings)
    registry: RegistrySettings = section(RegistrySettings)
    health: HealthSettings = section(HealthSettings)
    reactions: ReactionSettings = section(ReactionSettings)
    logging: LoggingSettings = section(LoggingSettings)
    metrics: MetricsSettings = section(MetricsSettings)


def contradictions(settings: Settings) -> Iterator[Fault]:
    """What no single setting shows: names that cannot be, pairs that do not fit."""
    session, retries = settings.session, settings.queue.retries
    if not settings.namespace.replace("-", "").isalnum():
        yield Fault(
            "namespace",
            f"= {settings.namespace!r} may hold letters, digits and hyphens only: it "
            "becomes the hash tag of every key.",
        )
    if session.renew_every_s * 2 > session.ttl_s:
        yield Fault(
            "session.renew_every_s",
            f"= {session.renew_every_s:g} must be at most half of session.ttl_s "
            f"({session.ttl_s:g}), or one lost renewal ends the session.",
            beside=("session.ttl_s",),
        )
    if session.max_stall_s < session.ttl_s:
        yield Fault(
            "session.max_stall_s",
            f"= {session.max_stall_s:g} must be at least session.ttl_s "
            f"({session.ttl_s:g}).",
            beside=("session.ttl_s",),
        )
    if 0 < settings.locks.max_hold_s < SHORTEST_HOLD_S:
        yield Fault(
            "locks.max_hold_s",
            f"= {settings.locks.max_hold_s:g} must be 0 or at least "
            f"{SHORTEST_HOLD_S:g}: a lock that is over at once protects nothing.",
        )
    if retries.backoff_base_s > retries.backoff_cap_s:
        yield Fault(
            "queue.retries.backoff_base_s",
            f"= {retries.backoff_base_s:g} must not be above "
            f"queue.retries.backoff_cap_s ({retries.backoff_cap_s:g}).",
            beside=("queue.retries.backoff_cap_s",),
        )
    yield from _names(settings)


def _names(settings: Settings) -> Iterator[Fault]:
    queues = settings.messaging.workers.queues
    path = "messaging.workers.queues"
    if not queues:
        yield Fault(path, "must name at least one queue.")
    if len(set(queues)) != len(queues):
        yield Fault(path, "names a queue twice.")
    named = [(path, queue) for queue in queues]
    named.append(("dynamic_config.environment", settings.dynamic_config.environment))
    for where, name in named:
        try:
            check_name(name, where.rpartition(".")[2])
        except QuorateError as error:
            yield Fault(where, f"= {name!r} cannot be used: {error.what}")
    if "/" in settings.dynamic_config.environment:
        yield Fault("dynamic_config.environment", "must not hold a slash.")
