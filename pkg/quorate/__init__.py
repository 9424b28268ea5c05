"""Quorate: processes agree on who is there, who may act, and what is to be done.

    async with quorate.connect("redis://localhost:6379") as node:
        async with node.locks.acquire_lock("user:42") as grant: ...
        node.registry …  node.health …  node.queue …  node.config …  node.reactions …

Each capability can also be used alone: `quorate.locks`, `quorate.registry`,
`quorate.health`, `quorate.queue`, `quorate.config`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        NotReplicated,
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
    from quorate.locks.door import get_lock_manager
    from quorate.locks.manager import LockManager
    from quorate.locks.model import LockConfig, LockType
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
    "NotReplicated",
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

_HOME = {
    "ConfigConflict": "quorate.core.errors",
    "ConfigError": "quorate.core.errors",
    "ConfigFormat": "quorate.config.formats",
    "ConfigInvalid": "quorate.core.errors",
    "ConfigManager": "quorate.config.manager",
    "DeadlockError": "quorate.core.errors",
    "Event": "quorate.core.events",
    "HealthCheckConfig": "quorate.health.model",
    "HealthCheckManager": "quorate.health.manager",
    "InvalidInput": "quorate.core.errors",
    "InvalidName": "quorate.core.errors",
    "InvalidPayload": "quorate.core.errors",
    "InvalidSettings": "quorate.core.errors",
    "InvalidUrl": "quorate.core.errors",
    "KeyMissing": "quorate.core.errors",
    "LoadBalancer": "quorate.registry.balancer",
    "LockConfig": "quorate.locks.model",
    "LockLostError": "quorate.core.errors",
    "LockManager": "quorate.locks.manager",
    "LockNotGranted": "quorate.core.errors",
    "LockType": "quorate.locks.model",
    "MissingCapability": "quorate.core.errors",
    "NobodyHome": "quorate.core.errors",
    "Node": "quorate.node",
    "NotReplicated": "quorate.core.errors",
    "OutcomeUnknown": "quorate.core.errors",
    "OwnershipError": "quorate.core.errors",
    "QueueError": "quorate.core.errors",
    "QueueManager": "quorate.queue.manager",
    "QueueType": "quorate.queue.model",
    "QuorateError": "quorate.core.errors",
    "ResultPending": "quorate.core.errors",
    "ServiceInfo": "quorate.registry.model",
    "ServiceRegistry": "quorate.registry.manager",
    "SessionLostError": "quorate.core.errors",
    "Settings": "quorate.settings.tree",
    "StaleTokenError": "quorate.core.errors",
    "StoreError": "quorate.core.errors",
    "StoreRefused": "quorate.core.errors",
    "StoreUnavailable": "quorate.core.errors",
    "TaskFailed": "quorate.core.errors",
    "TaskPriority": "quorate.queue.model",
    "TaskTimeout": "quorate.core.errors",
    "UnknownTask": "quorate.core.errors",
    "async_task": "quorate.queue.declared",
    "connect": "quorate.node",
    "get_config_manager": "quorate.config.door",
    "get_health_check_manager": "quorate.health.manager",
    "get_lock_manager": "quorate.locks.door",
    "get_queue_manager": "quorate.queue.door",
    "get_service_registry": "quorate.registry.manager",
    "load_settings": "quorate.settings.load",
    "this_node": "quorate.node",
}
"""Where each name lives. A file is read when one of its names is first asked for."""


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'quorate' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
