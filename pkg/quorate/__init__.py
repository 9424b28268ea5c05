"""Quorate: processes agree on who is there, who may act, and what is to be done.

    async with quorate.connect("redis://localhost:6379") as node:
        async with node.locks.acquire_lock("user:42") as grant: ...
        node.registry …  node.health …  node.queue …  node.config …  node.reactions …

Each capability can also be used alone: `quorate.locks`, `quorate.registry`,
`quorate.health`, `quorate.queue`, `quorate.config`.
"""

from quorate.config.door import get_config_manager
from quorate.config.formats import ConfigFormat
from quorate.config.manager import ConfigManager
from quorate.core.errors import (
    ConfigConflict,
    ConfigError,
    ConfigInvalid,
    DeadlockError,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    InvalidSettings,
    InvalidUrl,
    KeyMissing,
    LockLostError,
    LockNotGranted,
    MissingCapability,
    NobodyHome,
    OutcomeUnknown,
    OwnershipError,
    QueueError,
    QuorateError,
    ResultPending,
    SessionLostError,
    StaleTokenError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TaskFailed,
    TaskTimeout,
    UnknownTask,
)
from quorate.core.events import Event
from quorate.health.manager import HealthCheckManager, get_health_check_manager
from quorate.health.model import HealthCheckConfig
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.locks.standalone import get_lock_manager
from quorate.node import Node, connect, this_node
from quorate.queue.declared import async_task
from quorate.queue.door import get_queue_manager
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueType, TaskPriority
from quorate.registry.balancer import LoadBalancer
from quorate.registry.manager import ServiceRegistry, get_service_registry
from quorate.registry.model import ServiceInfo
from quorate.settings.load import load_settings
from quorate.settings.tree import Settings

__version__ = "0.1.0"

__all__ = [
    "ConfigConflict",
    "ConfigError",
    "ConfigFormat",
    "ConfigInvalid",
    "ConfigManager",
    "DeadlockError",
    "Event",
    "HealthCheckConfig",
    "HealthCheckManager",
    "InvalidInput",
    "InvalidName",
    "InvalidPayload",
    "InvalidSettings",
    "InvalidUrl",
    "KeyMissing",
    "LoadBalancer",
    "LockConfig",
    "LockLostError",
    "LockManager",
    "LockNotGranted",
    "LockType",
    "MissingCapability",
    "NobodyHome",
    "Node",
    "OutcomeUnknown",
    "OwnershipError",
    "QueueError",
    "QueueManager",
    "QueueType",
    "QuorateError",
    "ResultPending",
    "ServiceInfo",
    "ServiceRegistry",
    "SessionLostError",
    "Settings",
    "StaleTokenError",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "TaskFailed",
    "TaskPriority",
    "TaskTimeout",
    "UnknownTask",
    "async_task",
    "connect",
    "get_config_manager",
    "get_health_check_manager",
    "get_lock_manager",
    "get_queue_manager",
    "get_service_registry",
    "load_settings",
    "this_node",
]
