"""The registry as a whole: announce, look up, watch, balance.

Instances live as long as the session of the process that announced them. While the
store is away, discovery serves its last snapshot and says since when, and what this
process announces is made good when the store is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from quorate.backend import Backend
from quorate.core.errors import InvalidSettings, MissingCapability, StoreError
from quorate.core.events import Emit, silent
from quorate.core.fence import current_fence
from quorate.verdict.model import HealthState, HealthStatus

from .balancer import LoadBalancer
from .balancing.picker import LoadBalanceStrategy
from .discovery import DiscoveryTerms, ServiceDiscovery
from .following import FollowTerms
from .model import AdminState, ServiceInfo, Snapshot
from .ports import AdminChange, Receipt
from .probing import Probe, Prober, TcpProbe
from .redis import RedisRegistry
from .registrar import Registrar
from .service_watcher import OnList, ServiceWatcher
from .status import RegistryStatus
from .sweeping import RegistrySweeper, doubt_of

CARRY_TTLS = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """How the registry works. Times in seconds.

    `check_interval` is how often discovery compares its revisions with the store's,
    `timeout` how long the probe of a suspect may take. If more than `protect_share` of
    a service, and at least `protect_least`, vanish at once, they stay as suspects until
    probed. `consul_host` is for the Consul backend. Raises `InvalidSettings`.
    """

    consul_host: str = ""
    consul_port: int = 8500
    check_interval: float = 15.0
    timeout: float = 1.0
    protect_share: float = 0.3
    protect_least: int = 2

    def __post_init__(self) -> None:
        rules = {
            f"check_interval is {self.check_interval!r}; it must be above 0.": (
                self.check_interval > 0
            ),
            f"timeout is {self.timeout!r}; it must be above 0.": self.timeout > 0,
            f"protect_share is {self.protect_share!r}; it is above 0 and at most 1.": (
                0 < self.protect_share <= 1
            ),
            f"protect_least is {self.protect_least!r}; it is at least 1.": (
                self.protect_least >= 1
            ),
        }
        if faults := [fault for fault, holds in rules.items() if not holds]:
            raise InvalidSettings(
                "The registry cannot be used like this.", "\n  ".join(faults)
            )


class ServiceRegistry:
    """Announce own instances, find everybody else's. `await start()` before use.

    The backend must be open. `registrar` and `discovery` are the two halves of it.
    """

    def __init__(
        self,
        backend: Backend,
        config: RegistryConfig | None = None,
        emit: Emit | None = None,
        *,
        probe: Probe | None = None,
    ) -> None:
        self.config = config or RegistryConfig()
        _refuse_consul(self.config)
        self._emit = emit = emit or backend.emit
        self._backend = backend
        self._owns_backend = False
        clock, chance, session = backend.clock, backend.chance, backend.session
        self._store = RedisRegistry(backend.wire, emit)
        probe = probe or TcpProbe(clock, self.config.timeout)
        self._prober = Prober(probe, emit, clock)
        self.registrar = Registrar(
            self._store, session, self._store.tag, emit=emit, chance=chance
        )
        follow = FollowTerms(
            resync_every_s=self.config.check_interval,
            carry_s=session.terms.ttl_s * CARRY_TTLS,
        )
        self.discovery = ServiceDiscovery(
            self._store,
            self._prober,
            DiscoveryTerms(follow=follow),
            emit=emit,
            clock=clock,
            chance=chance,
        )
        self.discovery.join = lambda: session.join(self._store.tag)
        self.discovery.on_new_history = self.registrar.look_again
        doubt = doubt_of(
            session.terms, self.config.protect_share, self.config.protect_least
        )
        self._sweeper = RegistrySweeper(self._store, self._prober, doubt)
        self._balancers: dict[
            tuple[str, LoadBalanceStrategy | None],
            tuple[LoadBalancer, Callable[[], None]],
        ] = {}
        self._no_resync: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin to keep what is announced, and to look things up."""
        self._backend.sweeper.add(self._sweeper.room())
        self._no_resync = self._backend.wire.inbox.on_resync(self.registrar.look_again)
        await self.registrar.start()
        await self.discovery.start()

    async def stop(self) -> None:
        """Take back what was announced, then stop. Twice is harmless."""
        self._no_resync()
        self._no_resync = lambda: None
        await self.registrar.stop()
        for _, leave in self._balancers.values():
            leave()
        self._balancers.clear()
        await self._prober.close()
        await self.discovery.stop()
        if self._owns_backend:
            await self._backend.stop()

    async def __aenter__(self) -> ServiceRegistry:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def register(self, info: ServiceInfo) -> Receipt:
        """Announce an instance of this process until it is deregistered, or dies.

        Its receipt has the revision from which on everybody sees it. An id that another
        process uses is taken over from it: give each process its own.
        """
        return await self.registrar.register(info)

    register_service = register

    async def deregister(self, instance: str, service: str | None = None) -> bool:
        """Take an instance of this process back, at once and for everybody.

        False if the store is away; then it goes when that is back, or with the session.
        """
        return await self.registrar.deregister(instance, service)

    deregister_service = deregister

    async def set_health(
        self, instance: str, health: HealthStatus, service: str | None = None
    ) -> bool:
        """Say how an own instance is. Only another state is told at once."""
        return await self.registrar.set_health(instance, health, service)

    async def set_admin(
        self,
        instance: str,
        state: AdminState,
        reason: str = "",
        *,
        service: str | None = None,
    ) -> Receipt:
        """Put any instance in or out of service.

        `service` must be named for an instance of another process. Raises if the state
        was not changed; a receipt with `Word.ABSENT` means that there is none. Inside a
        lock it carries its token: `StaleTokenError` once a later holder has decided.
        """
        change = AdminChange(state, reason, fence=current_fence())
        own = {info.id for info in self.registrar.instances()}
        if service is None or instance in own:
            return await self.registrar.set_admin(instance, change, service)
        me = await self._backend.session.join(self._store.tag)
        return await self._store.set_admin(me, service, instance, change)

    async def discover(self, service: str) -> list[ServiceInfo]:
        """All listed instances of `service`. From memory but for the first time."""
        return await self.discovery.discover(service)

    get_instances = discover

    async def query(
        self,
        service: str,
        *,
        version: str | None = None,
        zone: str | None = None,
        health: HealthState | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[ServiceInfo]:
        """The instances that are as asked for; what is None may be anything."""
        wanted = (metadata or {}).items()
        return [
            info
            for info in await self.discover(service)
            if version in (None, info.version)
            and zone in (None, info.zone)
            and health in (None, info.state)
            and wanted <= info.metadata.items()
        ]

    async def snapshot(self, service: str) -> Snapshot:
        """The list with its revision, its age and `stale_since`."""
        return await self.discovery.snapshot(service)

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """Every snapshot in the order of revisions, the present one first."""
        return self.discovery.watch(service)

    def add_watcher(self, service: str, callback: OnList) -> ServiceWatcher:
        """Call `callback` with the new list after each change."""
        return self.discovery.add_watcher(service, callback)

    async def wait_for(
        self, service: str, holds: Callable[[Snapshot], bool], *, within_s: float = 10.0
    ) -> Snapshot:
        """The first snapshot for which `holds` is true. Raises `TimeoutError`."""
        return await self.discovery.wait_for(service, holds, within_s=within_s)

    def balancer(
        self, service: str, strategy: LoadBalanceStrategy | None = None
    ) -> LoadBalancer:
        """A balancer over `service` that follows every change by itself.

        The same arguments give the same balancer. Until the first list has come it
        knows nobody; `await discover(service)` waits for that.
        """
        known = self._balancers.get((service, strategy))
        if known is None:
            balancer = LoadBalancer(
                strategy, emit=self._emit, clock=self._backend.clock
            )

            def update(snapshot: Snapshot) -> None:
                balancer.update(snapshot)

            leave = self.discovery.listen(service, update)
            known = self._balancers[service, strategy] = (balancer, leave)
        return known[0]

    async def status(self) -> RegistryStatus:
        """What the store has, what this process announces and what it knows."""
        try:
            services = tuple(await self.discovery.services())
        except StoreError:
            services = None
        return RegistryStatus(
            services=services,
            own=self.registrar.instances(),
            followed=self.discovery.followed(),
            registrar=self.registrar.stats(),
            discovery=self.discovery.stats(),
            sweep=self._sweeper.stats(),
            balancers=tuple(b.stats() for b, _ in self._balancers.values()),
        )


async def get_service_registry(
    url: str, config: RegistryConfig | None = None, *, emit: Emit = silent
) -> ServiceRegistry:
    """A registry with a connection and a session of its own. `await stop()` closes it.

    A process that uses more than the registry opens a node instead (`connect`).
    """
    backend = Backend(url, emit=emit)
    await backend.start()
    try:
        registry = ServiceRegistry(backend, config)
        await registry.start()
    except BaseException:
        await backend.stop()
        raise
    registry._owns_backend = True
    return registry


def _refuse_consul(config: RegistryConfig) -> None:
    if config.consul_host:
        raise MissingCapability(
            f"The registry cannot use Consul at {config.consul_host} yet.",
            "The Consul backend is not part of this version.",
            "Leave consul_host out and use redis:// or embedded://.",
        )
