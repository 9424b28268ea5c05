"""Health checks under one roof: register, start, ask, and hear of changes.

`report()` shows what is known; it never runs a check. Callbacks run in tasks of their
own, so a slow or faulty one delays no check and no other callback.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from quorate.core.clock import Chance, Clock, SystemClock
from quorate.core.errors import InvalidInput
from quorate.core.events import Emit, silent
from quorate.core.names import check_name
from quorate.verdict.model import HealthState
from quorate.watch.callbacks import Callbacks, CallbackStats

from .checkers.custom import Ask, CustomHealthChecker
from .checkers.database import DatabaseHealthChecker
from .checkers.redis import RedisHealthChecker
from .checkers.tcp import TCPHealthChecker
from .events import HealthOverallChanged
from .model import CheckRecord, HealthChange, HealthCheckConfig, HealthTerms
from .monitor import HealthMonitor
from .ports import HealthChecker
from .prober import CheckStats
from .report import HealthReport, make_report

StatusChanged = Callable[[HealthState, HealthState], object]
CheckChanged = Callable[[HealthChange], object]


@dataclass(frozen=True, slots=True)
class HealthStats:
    """Counts since the manager was made, by check, and of the callbacks."""

    checks: dict[str, CheckStats]
    changes: int
    callbacks: CallbackStats
    check_callbacks: CallbackStats


class HealthCheckManager:
    """All health checks of a process. `settings` holds for all of them.

    Checks may be registered before and after `start`. Names are unique.
    """

    def __init__(
        self,
        settings: HealthTerms | None = None,
        *,
        emit: Emit = silent,
        clock: Clock | None = None,
        chance: Chance | None = None,
    ) -> None:
        self._terms = settings or HealthTerms()
        self._emit = emit
        self._clock = clock or SystemClock()
        self._monitor = HealthMonitor(
            self._terms,
            changed=self._check_changed,
            emit=emit,
            clock=self._clock,
            chance=chance,
        )
        self._disabled: dict[str, None] = {}
        self._status = HealthState.HEALTHY
        self._changes = 0
        self._told = Callbacks[[HealthState, HealthState]]("health status", emit)
        self._told_of_checks = Callbacks[[HealthChange]]("health check", emit)

    @property
    def status(self) -> HealthState:
        """The verdict on the whole, as last told."""
        return self._status

    def register_http_checker(
        self,
        name: str,
        url: str,
        *,
        expected_status: int | Collection[int] = 200,
        config: HealthCheckConfig | None = None,
    ) -> None:
        """Check that `url` answers with `expected_status`."""
        timeout_s = self._config(config).timeout
        from .checkers.http import HTTPHealthChecker  # HTTP costs a tenth of a second

        checker = HTTPHealthChecker(url, expected_status, timeout_s=timeout_s)
        self.register_checker(name, checker, config=config)

    def register_tcp_checker(
        self,
        name: str,
        host: str,
        port: int,
        *,
        config: HealthCheckConfig | None = None,
    ) -> None:
        """Check that something listens at `host`:`port`."""
        timeout_s = self._config(config).timeout
        checker = TCPHealthChecker(host, port, timeout_s=timeout_s)
        self.register_checker(name, checker, config=config)

    def register_redis_checker(
        self, name: str, url: str, *, config: HealthCheckConfig | None = None
    ) -> None:
        """Check that the Redis server at `url` answers."""
        timeout_s = self._config(config).timeout
        checker = RedisHealthChecker(url, timeout_s=timeout_s)
        enabled = self._terms.redis_enabled
        self._register(name, checker, config, enabled=enabled)

    def register_database_checker(
        self, name: str, url: str, *, config: HealthCheckConfig | None = None
    ) -> None:
        """Check that the database at `url` (PostgreSQL) answers a query."""
        timeout_s = self._config(config).timeout
        checker = DatabaseHealthChecker(url, timeout_s=timeout_s)
        enabled = self._terms.database_enabled
        self._register(name, checker, config, enabled=enabled)

    def register_custom_checker(
        self, name: str, check: Ask, *, config: HealthCheckConfig | None = None
    ) -> None:
        """Check by calling `check`; `CustomHealthChecker` says what it may answer."""
        self.register_checker(name, CustomHealthChecker(check), config=config)

    def register_checker(
        self,
        name: str,
        checker: HealthChecker,
        *,
        config: HealthCheckConfig | None = None,
    ) -> None:
        """Check by any object with `async check() -> CheckResult`."""
        self._register(name, checker, config, enabled=True)

    async def unregister(self, name: str) -> None:
        """Stop and forget one check. Raises `InvalidInput` if there is none."""
        if name in self._disabled:
            del self._disabled[name]
            return
        await self._monitor.remove(name)
        self._look_at_the_whole()

    def check_soon(self, name: str) -> None:
        """Let the next look begin now instead of when it is due."""
        if name not in self._disabled:
            self._monitor.check_soon(name)

    def add_status_change_callback(self, callback: StatusChanged) -> Callable[[], None]:
        """Call `callback(old, new)`, plain or async, when the whole changes.

        Both have `.value`, such as "healthy" or "unhealthy". Returns what ends it.
        """
        return self._told.add(callback)

    def add_check_callback(self, callback: CheckChanged) -> Callable[[], None]:
        """Call `callback(change)`, plain or async, when any check changes.

        `change` is a `HealthChange`. Returns what ends it.
        """
        return self._told_of_checks.add(callback)

    async def start(self) -> None:
        """Begin to check. Twice is harmless."""
        if self._terms.enabled and not self._monitor.is_running:
            await self._monitor.start()
            self._status = self._picture().status

    async def stop(self) -> None:
        """End all checks and callbacks under way. May be started again."""
        await self._monitor.stop()
        await self._told.stop()
        await self._told_of_checks.stop()

    def report(self) -> HealthReport:
        """How everything stands, from what is known already."""
        if self._monitor.is_running:
            self._monitor.grow_old()
        return self._picture()

    def history(self, name: str) -> tuple[CheckRecord, ...]:
        """The last results of one check, the oldest first.

        Raises `InvalidInput` if there is no such check.
        """
        return () if name in self._disabled else self._monitor.prober(name).history()

    def stats(self) -> HealthStats:
        """Looks, what they found, and callbacks."""
        return HealthStats(
            {prober.check: prober.stats() for prober in self._monitor.probers},
            self._changes,
            self._told.stats(),
            self._told_of_checks.stats(),
        )

    def _register(
        self,
        name: str,
        checker: HealthChecker,
        config: HealthCheckConfig | None,
        *,
        enabled: bool,
    ) -> None:
        check_name(name, "check")
        if not isinstance(checker, HealthChecker):
            raise InvalidInput(
                f"{checker!r} is not a checker: it has no check().",
                fix="Give it `async def check(self) -> CheckResult`.",
            )
        if name in self._disabled:
            raise InvalidInput(f"There is a check {name!r} already.")
        if not (enabled and self._terms.enabled):
            self._disabled[name] = None
            return
        self._monitor.add(name, checker, self._config(config))
        self._look_at_the_whole()

    def _config(self, config: HealthCheckConfig | None) -> HealthCheckConfig:
        return config or self._terms.usual_config

    def _picture(self) -> HealthReport:
        reports = self._monitor.reports()
        return make_report(reports, self._clock.now(), self._disabled)

    def _check_changed(self, change: HealthChange) -> None:
        self._told_of_checks.tell(change)
        self._look_at_the_whole()

    def _look_at_the_whole(self) -> None:
        """Tell of the whole if it is another; not before the start."""
        picture = self._picture()
        old, new = self._status, picture.status
        if old is new or not self._monitor.is_running:
            return
        self._status = new
        self._changes += 1
        self._emit(
            HealthOverallChanged(old=old.value, new=new.value, causes=picture.causes)
        )
        self._told.tell(old, new)


def get_health_check_manager(
    settings: HealthTerms | None = None, *, emit: Emit = silent
) -> HealthCheckManager:
    """A new manager; keep it, and pass it to who needs it."""
    return HealthCheckManager(settings, emit=emit)
