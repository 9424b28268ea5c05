"""Who is there, how they are, and whom to call.

async with await get_service_registry("redis://localhost:6379") as registry:
    await registry.register(ServiceInfo(id="a", name="auth", endpoint="http://…:8000"))
    balancer = registry.balancer("auth", RoundRobinStrategy())
    async with balancer.acquire() as choice:
        await call(choice.endpoint)
"""

from quorate.verdict.model import HealthState, HealthStatus

from .balancer import BalancerStats, Choice, InstanceLoad, LoadBalancer
from .balancing.picker import LoadBalanceStrategy
from .balancing.routable import RoutingTerms
from .discovery import DiscoveryStats, ServiceDiscovery
from .discovery_cache import DiscoveryCache, DiscoveryCacheStats
from .endpoint import Endpoint
from .manager import RegistryConfig, ServiceRegistry, get_service_registry
from .model import AdminState, Difference, ServiceInfo, Snapshot, difference
from .ports import Receipt, ServiceCount, Word
from .probing import Probe, TcpProbe
from .registrar import RegistrarStats
from .service_watcher import ServiceWatcher
from .status import RegistryStatus
from .strategies import (
    LeastRequestStrategy,
    RandomStrategy,
    RoundRobinStrategy,
    WeightedRoundRobinStrategy,
)

__all__ = [
    "AdminState",
    "BalancerStats",
    "Choice",
    "Difference",
    "DiscoveryCache",
    "DiscoveryCacheStats",
    "DiscoveryStats",
    "Endpoint",
    "HealthState",
    "HealthStatus",
    "InstanceLoad",
    "LeastRequestStrategy",
    "LoadBalanceStrategy",
    "LoadBalancer",
    "Probe",
    "RandomStrategy",
    "Receipt",
    "RegistrarStats",
    "RegistryConfig",
    "RegistryStatus",
    "RoundRobinStrategy",
    "RoutingTerms",
    "ServiceCount",
    "ServiceDiscovery",
    "ServiceInfo",
    "ServiceRegistry",
    "ServiceWatcher",
    "Snapshot",
    "TcpProbe",
    "WeightedRoundRobinStrategy",
    "Word",
    "difference",
    "get_service_registry",
]
