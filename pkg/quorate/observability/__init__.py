"""Logs and metrics: they hang on events and on `stats()`, and on nothing else."""

from .logs import LogSettings, configure_logs, log_events
from .metrics import Metrics

__all__ = ["LogSettings", "Metrics", "configure_logs", "log_events"]
