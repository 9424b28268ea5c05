"""What a node's queue heeds of its neighbours: configuration, checks, the registry.

The queue knows none of them; it is handed functions that answer at once, from memory.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.config.layers import Snapshot as Configured
from quorate.config.manager import ConfigManager
from quorate.config.subscribers import ConfigWatcher
from quorate.core.clock import Clock
from quorate.core.codec import Json
from quorate.core.events import Emit
from quorate.core.lifecycle import Duty, Tasks
from quorate.health.manager import HealthCheckManager
from quorate.queue.guards import Rate
from quorate.queue.manager import QueueManager
from quorate.queue.tuning import ALL, ONE, check_tuning, tuning_of
from quorate.registry.discovery import ServiceDiscovery
from quorate.registry.model import AdminState, Snapshot
from quorate.verdict.model import HealthState

FIT = (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNKNOWN)
REMEMBERED_S = 0.1
LOOK_S = 60.0


class LiveQueue:
    """Keeps a queue in step with `queue.*` and `queues.<name>.*` of the configuration.

    Values that no worker could heed are refused before they come into force. A role,
    too: rates are kept by the server, and one that could not be told is told again.
    """

    name = "queue tuner"

    def __init__(
        self, queue: QueueManager, config: ConfigManager, emit: Emit, clock: Clock
    ) -> None:
        self._queue = queue
        self._config = config
        self._tasks = Tasks(emit, clock)
        self._duty: Duty | None = None
        self._watchers: list[ConfigWatcher] = []
        self._rates: dict[str, Rate | None] = {}

    async def start(self) -> None:
        """Heed what is there, and every change from now on."""
        self._config.add_validator(_judge)
        self._watchers = [
            self._config.watch_config(key, self._changed) for key in (ALL, ONE)
        ]
        self._changed()
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        """Work on as was said last."""
        for watcher in self._watchers:
            watcher.close()
        await self._tasks.close()

    async def tick(self) -> float:
        """Tell the server of rates that are new. What the configuration never said
        stays as somebody else has set it.
        """
        values = self._config.snapshot.paths
        for queue in self._queue.known_queues:
            rate = tuning_of(queue, values).rate
            if rate != self._rates.get(queue):
                await self._queue.set_rate(rate, queue=queue)
                self._rates[queue] = rate
        return LOOK_S

    def _changed(self, _value: Json = None) -> None:
        values = self._config.snapshot.paths
        self._queue.tune(lambda queue: tuning_of(queue, values))
        if self._duty is not None:
            self._duty.wake()


class ServiceVerdicts:
    """How services are, as this process sees it.

    A check of that name decides; where there is none, the registry: a service without
    an instance that is fit is down. While the registry is away its last word holds.
    """

    def __init__(
        self, health: HealthCheckManager, discovery: ServiceDiscovery, clock: Clock
    ) -> None:
        self._health = health
        self._discovery = discovery
        self._clock = clock
        self._listed: dict[str, bool | None] = {}
        self._leave: list[Callable[[], None]] = []
        self._checked: dict[str, HealthState] = {}
        self._checked_at = float("-inf")

    async def start(self) -> None:
        """Services are followed when they are first asked for."""

    async def stop(self) -> None:
        """Follow none any more."""
        for leave in self._leave:
            leave()
        self._leave.clear()

    def is_up(self, service: str) -> bool | None:
        """Whether it is up; None while nobody knows. Never waits."""
        now = self._clock.monotonic()
        if now - self._checked_at > REMEMBERED_S:
            checks = self._health.report().checks.values()
            self._checked = {check.name: check.state for check in checks}
            self._checked_at = now
        state = self._checked.get(service)
        if state is not None:
            return _is_well(state)
        if service not in self._listed:
            self._listed[service] = None
            self._leave.append(self._discovery.listen(service, self._told))
        return self._listed[service]

    def _told(self, snapshot: Snapshot) -> None:
        if snapshot.stale_since is None:
            self._listed[snapshot.name] = any(
                each.admin_state is AdminState.ACTIVE and each.state in FIT
                for each in snapshot.instances
            )


def _is_well(state: HealthState) -> bool | None:
    if state is HealthState.UNKNOWN:
        return None
    return state in FIT


def _judge(snapshot: Configured) -> None:
    check_tuning(snapshot.paths)
