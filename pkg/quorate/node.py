"""The entry object: one node is one process's share in the system.

The only file that sees all capabilities. It opens one backend for each distinct URL,
builds the capabilities on them, hands them to each other as plain callables, and closes
everything in reversed order: reactions first, the session last.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from quorate.backend import Backend, Backends
from quorate.config.door import config_options
from quorate.config.manager import ConfigManager
from quorate.config.redis import RedisConfigStore
from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.events import Announcer, Emit, Event
from quorate.core.lifecycle import Household, Member
from quorate.core.shape import tree_of
from quorate.fitting import (
    degraded_terms,
    health_terms,
    log_settings,
    of_worker,
    queue_manager,
    registry_config,
)
from quorate.health.events import HealthChanged
from quorate.health.manager import HealthCheckManager
from quorate.heeding import LiveQueue, ServiceVerdicts
from quorate.locks.door import config_of as locks_of
from quorate.locks.manager import LockManager
from quorate.observability.metrics import Metrics
from quorate.observability.observer import Observer
from quorate.queue.manager import QueueManager
from quorate.reaching import NodeHands
from quorate.reactions.engine import ReactionEngine
from quorate.registry.manager import ServiceRegistry
from quorate.settings.backing import backend_for
from quorate.settings.load import load_settings, process_environment
from quorate.settings.tree import Settings
from quorate.verdict.model import HealthState, HealthStatus

DEFAULT_URL = "embedded://"

T = TypeVar("T")

_here: ContextVar[Node] = ContextVar("quorate_node")


class Node:
    """Locks, registry, health, queue, configuration and reactions of one process.

    Made by `connect` and used with `async with`. All that it owns on one server hangs
    on one session: when the process dies, its locks, its instances and its tasks are
    free at the same time. Its health is the health of the instances it announces, and
    a critical check that fails turns `service.degraded_mode` on for everybody.
    """

    def __init__(self, backends: Backends, settings: Settings) -> None:
        self.backends = backends
        self.settings = settings
        self._events = Announcer()
        self._household = Household()
        self._open = {
            url: backend_for(url, settings, self._events.emit)
            for url in backends.urls()
        }
        self._health = HealthCheckManager(
            health_terms(settings), emit=self._events.emit
        )
        self._locks: LockManager | None = None
        self._registry: ServiceRegistry | None = None
        self._queue: QueueManager | None = None
        self._config: ConfigManager | None = None
        self._reactions: ReactionEngine | None = None
        self._observer: Observer | None = None
        self._heeding: tuple[Member, ...] = ()

    @property
    def locks(self) -> LockManager:
        """Who may act: locks that end with this process."""
        return _opened(self._locks)

    @property
    def registry(self) -> ServiceRegistry:
        """Who is there: announce, discover, balance."""
        return _opened(self._registry)

    @property
    def health(self) -> HealthCheckManager:
        """How they are: checks of what this process needs."""
        return self._health

    @property
    def queue(self) -> QueueManager:
        """What is to be done: tasks, workers, results."""
        return _opened(self._queue)

    @property
    def config(self) -> ConfigManager:
        """How it is to be done: layered, versioned, watched."""
        return _opened(self._config)

    @property
    def reactions(self) -> ReactionEngine:
        """What happens when one of these changes."""
        return _opened(self._reactions)

    def listen(self, listener: Emit) -> Callable[[], None]:
        """Hear every event of this node. Returns the function that ends it."""
        return self._events.listen(listener)

    async def keep(self, member: Member) -> None:
        """Start something of your own, to be stopped first when the node stops."""
        await self._household.start(member)

    def backend(self, url: str) -> Backend:
        """The open backend of `url`, for who builds on it."""
        return self._open[url]

    @property
    def metrics(self) -> Metrics:
        """The numbers of this node, for Prometheus. `metrics.page()` shows them."""
        return _opened(self._observer).metrics

    @property
    def shared_url(self) -> str:
        """What another process on this machine connects to, to reach the same locks.

        For `embedded://` without a folder it names the folder that was made.
        """
        return self._open[self.backends.locks].server.address.shared

    async def start(self) -> None:
        """Connect and begin; `async with` does it. Raises what keeps it from that."""
        here = _here.set(self)
        try:
            await self._household.start(*self._open.values())
            self._build()
            await self._household.start(
                _opened(self._observer),
                self.locks,
                self.registry,
                self.config,
                self.queue,
                self.health,
                *self._heeding,
                self.reactions,
            )
            if self.settings.metrics.enabled:
                self.queue.watch(self._events.listen)
        except BaseException:
            _here.reset(here)
            await self._household.stop()
            raise

    async def stop(self) -> None:
        """Leave: what this process holds is given back at once. Twice is harmless."""
        await self._household.stop()

    async def __aenter__(self) -> Node:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _build(self) -> None:
        settings, emit = self.settings, self._events.emit
        locks = self._open[self.backends.locks]
        registry = self._open[self.backends.registry]
        config = self._open[self.backends.config]
        self._locks = LockManager.over(
            locks.lock_server, locks.session, locks_of(settings), emit, locks.chance
        )
        locks.sweeper.add(self._locks.sweeper_room())
        self._registry = ServiceRegistry(registry, registry_config(settings), emit)
        self._queue = queue_manager(self.backends, self._open, settings, emit)
        self._queue.outfit(self._outfit)
        self._config = ConfigManager(
            RedisConfigStore(config.wire, config.session),
            config_options(settings, process_environment()),
            emit=emit,
            clock=config.clock,
        )
        services = ServiceVerdicts(self._health, self._registry.discovery, locks.clock)
        self._queue.heed_services(services.is_up)
        live = LiveQueue(self._queue, self._config, emit, locks.clock)
        self._heeding = (services, live)
        hands = NodeHands(
            self._health, self._locks, self._config, self._queue, locks.clock
        )
        self._reactions = ReactionEngine(
            hands, degraded_terms(settings), emit=emit, clock=locks.clock
        )
        self._observer = Observer(
            self._events.listen,
            {
                "locks": self._locks.stats,
                "queue": self._queue.counts,
                "config": self._config.stats,
                "health": self._health.stats,
                "wire": locks.lock_server.calls.stats,
            },
            logs=log_settings(settings),
            port=settings.metrics.port if settings.metrics.enabled else None,
        )
        self._observer.metrics.add_series(self._queue.series)
        self._events.listen(self._react)
        self._health.add_status_change_callback(self._show_health)

    def _outfit(self) -> Json:
        """What a worker process needs to open a node like this one."""
        urls = self.backends.named()
        return {
            "urls": {
                name: self._open[url].server.address.shared
                for name, url in urls.items()
            },
            "settings": tree_of(of_worker(self.settings)),
        }

    def _react(self, event: Event) -> None:
        if isinstance(event, HealthChanged):
            self.reactions.wake()

    async def _show_health(self, _old: HealthState, new: HealthState) -> None:
        """What this process announces is as healthy as what it needs."""
        causes = ", ".join(self._health.report().causes)
        status = HealthStatus(new, message=causes and f"because of {causes}")
        for instance in self.registry.registrar.instances():
            await self.registry.set_health(instance.id, status, instance.name)


def connect(
    url: str = DEFAULT_URL,
    *,
    locks: str | None = None,
    registry: str | None = None,
    queue: str | None = None,
    config: str | None = None,
    queue_state: str | None = None,
    settings: Settings | str | Path | None = None,
) -> Node:
    """A node on the server at `url`; open it with `async with`.

    `embedded://` starts a real server of its own, `embedded://folder` shares one with
    other processes on this machine, `redis://…` and `rediss://…` use one that runs, and
    `memory://` is for tests. Each capability may have a server of its own: locks on
    `consul://…`, the queue on `amqp://…`, its state in the Redis `queue_state`.
    `settings` is the tree, or its file; without it the environment decides.

    Raises `InvalidUrl` and `InvalidSettings` now, before anything is opened.
    """
    backends = Backends(
        locks=url if locks is None else locks,
        registry=url if registry is None else registry,
        queue=url if queue is None else queue,
        config=url if config is None else config,
        queue_state=queue_state or "",
    )
    backends.check()
    if not isinstance(settings, Settings):
        settings = load_settings(settings)
    return Node(backends, settings)


def this_node() -> Node:
    """The node of the task that calls, such as a handler in a worker process.

    Raises `InvalidInput` outside of one.
    """
    try:
        return _here.get()
    except LookupError as error:
        raise InvalidInput(
            "There is no node here.",
            "No node was opened by this task or by the one that started it.",
            "Open one: async with quorate.connect(url) as node.",
        ) from error


def _opened(capability: T | None) -> T:
    if capability is None:
        raise InvalidInput(
            "The node is not open.",
            "",
            "Use it inside: async with connect(url) as node.",
        )
    return capability
