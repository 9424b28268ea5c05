"""Locks: granted on release, first come first served, each with a growing token.

lock_manager = await get_lock_manager("redis://localhost:6379")
async with lock_manager.acquire_lock("resource:123", LockType.EXCLUSIVE) as grant:
    await write(token=grant.token)

@lock_manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
async def process_user_request(user_id: str): ...
"""

from .decorating import current_grant
from .door import get_lock_manager
from .events import (
    LockDenied,
    LockEndangered,
    LockLost,
    LockReturnDelayed,
    LockWaitLong,
)
from .lock import Grant
from .manager import LockManager
from .model import (
    Explanation,
    HolderFacts,
    LockConfig,
    LockLine,
    LockStats,
    LockType,
    WaiterFacts,
)
from .store import LockStore

__all__ = [
    "Explanation",
    "Grant",
    "HolderFacts",
    "LockConfig",
    "LockDenied",
    "LockEndangered",
    "LockLine",
    "LockLost",
    "LockManager",
    "LockReturnDelayed",
    "LockStats",
    "LockStore",
    "LockType",
    "LockWaitLong",
    "WaiterFacts",
    "current_grant",
    "get_lock_manager",
]
