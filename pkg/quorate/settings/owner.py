"""The sections that the design documents name (S2, `config/optimized_config.yaml`).

Names, nesting and defaults are theirs; so are the short environment variables, which
override their settings even where no file mentions them.
"""

# ruff: noqa: RUF009 — `setting` and `section` make dataclass fields, not values
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quorate.core.secret import SecretUrl
from quorate.core.shape import section, setting

LOCAL_REDIS = SecretUrl("redis://localhost:6379")
REDIS_URL = ("REDIS_URL",)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingRedis:
    """The queue's own server."""

    url: SecretUrl = setting(
        LOCAL_REDIS, "Where tasks are kept while queue_type is redis.", env=REDIS_URL
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingRabbit:
    """The queue's own broker."""

    url: SecretUrl = setting(
        SecretUrl("amqp://localhost:5672/"),
        "Where tasks travel while queue_type is rabbitmq.",
        env=("RABBITMQ_URL",),
    )
    keep_state: bool = setting(
        False,
        "Keep the state of tasks in messaging.redis: results, states, cancelling, "
        "tasks of any length.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingWorkers:
    """The worker processes that `start_workers` starts."""

    count: int = setting(
        4,
        "About one for each core; tasks of one worker share its event loop.",
        unit="processes",
        env=("MESSAGE_WORKERS",),
        at_least=1,
        at_most=1024,
    )
    queues: tuple[str, ...] = setting(
        ("default", "high_priority", "low_priority"), "The queues that they serve."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings:
    """Which queue backend, and who works."""

    queue_type: Literal["redis", "rabbitmq"] = setting(
        "redis", "The backend that carries tasks.", env=("QUEUE_TYPE",)
    )
    redis: MessagingRedis = section(MessagingRedis)
    rabbitmq: MessagingRabbit = section(MessagingRabbit)
    workers: MessagingWorkers = section(MessagingWorkers)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedLockSettings:
    """Where locks are kept, and how a hold ends."""

    redis_url: SecretUrl = setting(
        LOCAL_REDIS, "The server that grants locks.", env=REDIS_URL
    )
    default_timeout: float = setting(
        30.0,
        "With auto_extend false a hold ends after this time; otherwise it lasts as "
        "long as the session lives.",
        unit="seconds",
        above=0,
    )
    auto_extend: bool = setting(True, "Holds last while their owner lives.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckGlobal:
    """Applies to all checks."""

    enabled: bool = setting(
        True, "Switches all health checks.", env=("HEALTH_CHECK_ENABLED",)
    )
    check_interval: float = setting(
        30.0, "The rest between two checks of the same target.", unit="seconds", above=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckDatabase:
    """Checks of databases."""

    enabled: bool = setting(True, "Switches the checks of databases.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckRedis:
    """Checks of Redis servers."""

    enabled: bool = setting(True, "Switches the checks of Redis servers.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckSettings:
    """Which health checks run, and how often."""

    global_: HealthCheckGlobal = section(HealthCheckGlobal, name="global")
    database: HealthCheckDatabase = section(HealthCheckDatabase)
    redis: HealthCheckRedis = section(HealthCheckRedis)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicConfigSettings:
    """Where the shared configuration is kept."""

    redis_url: SecretUrl = setting(
        LOCAL_REDIS, "The server that keeps shared values.", env=REDIS_URL
    )
    environment: str = setting(
        "development",
        "Names the file that lies beside each file source: app.<environment>.yaml.",
        env=("ENVIRONMENT", "APP_ENV"),
    )
    max_versions: int = setting(
        10, "Versions kept of each key.", unit="versions", at_least=1, at_most=1000
    )
