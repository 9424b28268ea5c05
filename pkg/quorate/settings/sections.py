"""The sections that Quorate adds of its own, each setting with unit, limit and reason.

A duration ends in `_s` and is in seconds. Defaults are those that DESIGN.md argues for;
the reasons here are what an error says and what `config/quorate.yaml` explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quorate.core.shape import setting

SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """The one failure detector: how soon the loss of a process is noticed."""

    ttl_s: float = setting(
        15.0,
        "A process that is silent for so long loses its locks, jobs and instances.",
        unit=SECONDS,
        at_least=0.5,
        at_most=3600,
    )
    renew_every_s: float = setting(
        5.0,
        "Two renewals may be lost before the session is in danger.",
        unit=SECONDS,
        above=0,
    )
    max_stall_s: float = setting(
        30.0,
        "An event loop without progress for so long is not renewed any more.",
        unit=SECONDS,
        above=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSettings:
    """Deadlines towards a server."""

    timeout_s: float = setting(
        5.0,
        "A reply that is later ends the connection: nothing behind it can be trusted.",
        unit=SECONDS,
        above=0,
        at_most=60,
    )
    connect_timeout_s: float = setting(
        3.0,
        "A server that does not accept in this time counts as away.",
        unit=SECONDS,
        above=0,
        at_most=60,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LockSettings:
    """What a lock does unless the caller says otherwise."""

    wait_s: float = setting(
        10.0,
        "A caller that waits longer is told who holds the lock.",
        unit=SECONDS,
        at_least=0,
    )
    max_hold_s: float = setting(
        0.0,
        "A hold ends after this time even if its owner lives; 0 sets no such end.",
        unit=SECONDS,
        at_least=0,
    )
    deadlock_timeout_s: float = setting(
        1.0,
        "Who holds a lock and waits so long for another looks for a circle of waits.",
        unit=SECONDS,
        at_least=0,
    )
    warn_of_order: bool = setting(
        False,
        "Tells when two locks are first taken in either order: for tests.",
    )
    replicas: int = setting(
        0,
        "A grant counts only when so many replicas of the server have it.",
        unit="replicas",
        at_least=0,
    )
    strict: bool = setting(
        False,
        "Grant nothing for the session's ttl after another server has taken over.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How instances are announced and protected."""

    resync_every_s: float = setting(
        30.0,
        "A snapshot is compared so often, in case a change was missed.",
        unit=SECONDS,
        at_least=1,
    )
    protect_share: float = setting(
        0.3,
        "If more of a service dies at once, the dead stay listed as suspect.",
        unit="share",
        above=0,
        at_most=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How results of checks become a verdict."""

    timeout_s: float = setting(
        10.0, "A check that takes longer has failed.", unit=SECONDS, above=0
    )
    rise: int = setting(
        2, "So many good results in a row mean healthy.", unit="results", at_least=1
    )
    fall: int = setting(
        3, "So many bad results in a row mean unhealthy.", unit="results", at_least=1
    )
    history: int = setting(
        100, "Results kept for each check.", unit="results", at_least=1, at_most=10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionSettings:
    """How calmly degraded mode comes and goes."""

    enter_after_s: float = setting(
        3.0,
        "A dependency must be unhealthy so long before degraded mode begins.",
        unit=SECONDS,
        at_least=0,
    )
    leave_after_s: float = setting(
        5.0,
        "All dependencies must be healthy so long before it ends.",
        unit=SECONDS,
        at_least=0,
    )
    dwell_s: float = setting(
        10.0, "It lasts at least so long: no flapping.", unit=SECONDS, at_least=0
    )
    deepen_after_s: float = setting(
        60.0,
        "Degraded so long with a dependency unhealthy, normal tasks rest too; 0 is "
        "never.",
        unit=SECONDS,
        at_least=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error", "off"] = setting(
        "warning",
        "Events below this level are not written; off writes none.",
        env=("LOG_LEVEL",),
    )
    format: Literal["console", "json"] = setting(
        "console", "json for machines, console for people."
    )
    service: str = setting("quorate", "The name that each line carries.")
    leave_out: tuple[str, ...] = setting(
        (), "Events that are not written, by name, such as session.swept."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus finds the numbers."""

    enabled: bool = setting(False, "A port is opened only when asked for.")
    port: int = setting(
        9464,
        "The port that OpenTelemetry's exporter uses by habit.",
        unit="TCP port",
        at_least=1,
        at_most=65_535,
    )
