"""Is it well? Checks of databases, servers and services, judged calmly and told early.

health = get_health_check_manager()
health.register_http_checker("auth", "http://auth:8000/health", expected_status=200)
health.add_status_change_callback(on_health_change)
await health.start()
"""

from typing import TYPE_CHECKING

from quorate.verdict.model import HealthState, HealthStatus, Outcome

from .checkers.custom import CustomHealthChecker
from .checkers.database import DatabaseHealthChecker
from .checkers.redis import RedisHealthChecker
from .checkers.tcp import TCPHealthChecker
from .manager import HealthCheckManager, HealthStats, get_health_check_manager
from .model import (
    CheckGroup,
    CheckRecord,
    CheckResult,
    HealthChange,
    HealthCheckConfig,
    HealthTerms,
    down,
    failed,
    inconclusive,
    passed,
    warned,
)
from .ports import HealthChecker
from .report import CheckReport, HealthReport

if TYPE_CHECKING:
    from .checkers.http import HTTPHealthChecker

__all__ = [
    "CheckGroup",
    "CheckRecord",
    "CheckReport",
    "CheckResult",
    "CustomHealthChecker",
    "DatabaseHealthChecker",
    "HTTPHealthChecker",
    "HealthChange",
    "HealthCheckConfig",
    "HealthCheckManager",
    "HealthChecker",
    "HealthReport",
    "HealthState",
    "HealthStats",
    "HealthStatus",
    "HealthTerms",
    "Outcome",
    "RedisHealthChecker",
    "TCPHealthChecker",
    "down",
    "failed",
    "get_health_check_manager",
    "inconclusive",
    "passed",
    "warned",
]


def __getattr__(name: str) -> object:
    """The HTTP client costs a tenth of a second, so it is read when asked for."""
    if name != "HTTPHealthChecker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .checkers.http import HTTPHealthChecker

    return HTTPHealthChecker
