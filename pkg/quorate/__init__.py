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
    from quorate.core.fence import Fence, current_fence
    from quorate.health.manager import HealthCheckManager, get_health_check_manager
    from quorate.health.model import HealthCheckConfig
    from quorate.locks.decorating import current_grant
    from quorate.locks.door import get_lock_manager
    from quorate.locks.election import Election, Leadership
    from quorate.locks.events import (
        DeadlockBroken,
        LockDenied,
        LockEndangered,
        LockLost,
        LockOrderInverted,
        LockReturnDelayed,
        LockWaitLong,
    )
    from quorate.locks.lock import Grant
    from quorate.locks.manager import LockManager
    from quorate.locks.meeting import Barrier, Latch
    from quorate.locks.model import (
        HolderFacts,
        Leader,
        LockConfig,
        LockLine,
        LockStats,
        LockType,
        WaiterFacts,
    )
    from quorate.locks.semaphore import Semaphore
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
    "Barrier",
    "ConfigConflict",
    "ConfigError",
    "ConfigFormat",
    "ConfigInvalid",
    "ConfigManager",
    "DeadlockBroken",
    "DeadlockError",
    "Election",
    "Event",
    "Fence",
    "Grant",
    "HealthCheckConfig",
    "HealthCheckManager",
    "HolderFacts",
    "InvalidInput",
    "InvalidName",
    "InvalidPayload",
    "InvalidSettings",
    "InvalidUrl",
    "KeyMissing",
    "Latch",
    "Leader",
    "Leadership",
    "LoadBalancer",
    "LockConfig",
    "LockDenied",
    "LockEndangered",
    "LockLine",
    "LockLost",
    "LockLostError",
    "LockManager",
    "LockNotGranted",
    "LockOrderInverted",
    "LockReturnDelayed",
    "LockStats",
    "LockType",
    "LockWaitLong",
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
    "Semaphore",
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
    "WaiterFacts",
    "async_task",
    "connect",
    "current_fence",
    "current_grant",
    "get_config_manager",
    "get_health_check_manager",
    "get_lock_manager",
    "get_queue_manager",
    "get_service_registry",
    "load_settings",
    "this_node",
]

_HOME = {
    "Barrier": "quorate.locks.meeting",
    "ConfigConflict": "quorate.core.errors",
    "ConfigError": "quorate.core.errors",
    "ConfigFormat": "quorate.config.formats",
    "ConfigInvalid": "quorate.core.errors",
    "ConfigManager": "quorate.config.manager",
    "DeadlockBroken": "quorate.locks.events",
    "DeadlockError": "quorate.core.errors",
    "Election": "quorate.locks.election",
    "Event": "quorate.core.events",
    "Fence": "quorate.core.fence",
    "Grant": "quorate.locks.lock",
    "HealthCheckConfig": "quorate.health.model",
    "HealthCheckManager": "quorate.health.manager",
    "HolderFacts": "quorate.locks.model",
    "InvalidInput": "quorate.core.errors",
    "InvalidName": "quorate.core.errors",
    "InvalidPayload": "quorate.core.errors",
    "InvalidSettings": "quorate.core.errors",
    "InvalidUrl": "quorate.core.errors",
    "KeyMissing": "quorate.core.errors",
    "Latch": "quorate.locks.meeting",
    "Leader": "quorate.locks.model",
    "Leadership": "quorate.locks.election",
    "LoadBalancer": "quorate.registry.balancer",
    "LockConfig": "quorate.locks.model",
    "LockDenied": "quorate.locks.events",
    "LockEndangered": "quorate.locks.events",
    "LockLine": "quorate.locks.model",
    "LockLost": "quorate.locks.events",
    "LockLostError": "quorate.core.errors",
    "LockManager": "quorate.locks.manager",
    "LockNotGranted": "quorate.core.errors",
    "LockOrderInverted": "quorate.locks.events",
    "LockReturnDelayed": "quorate.locks.events",
    "LockStats": "quorate.locks.model",
    "LockType": "quorate.locks.model",
    "LockWaitLong": "quorate.locks.events",
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
    "Semaphore": "quorate.locks.semaphore",
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
    "WaiterFacts": "quorate.locks.model",
    "async_task": "quorate.queue.declared",
    "connect": "quorate.node",
    "current_fence": "quorate.core.fence",
    "current_grant": "quorate.locks.decorating",
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
