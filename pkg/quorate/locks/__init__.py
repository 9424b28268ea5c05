"""Locks: granted on release, first come first served, each with a growing token.

lock_manager = await get_lock_manager("redis://localhost:6379")
async with lock_manager.acquire_lock("resource:123", LockType.EXCLUSIVE) as grant:
    await write(token=grant.token)

@lock_manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
async def process_user_request(user_id: str): ...

On the same line and session: `await grant.upgrade()`, `lock_manager.lock_all([...])`,
`.semaphore(name, permits)`, `.election(name)`, `.latch(name, count)` and
`.barrier(name, parties)`.
"""

from .decorating import current_grant
from .door import get_lock_manager
from .election import Election, Leadership
from .events import (
    DeadlockBroken,
    LockDenied,
    LockEndangered,
    LockLost,
    LockOrderInverted,
    LockReturnDelayed,
    LockWaitLong,
)
from .lock import Grant
from .manager import LockManager
from .meeting import Barrier, Latch
from .model import (
    Explanation,
    HolderFacts,
    Leader,
    LockConfig,
    LockLine,
    LockStats,
    LockType,
    WaiterFacts,
)
from .semaphore import Semaphore
from .store import LockStore
from .why import Step, Why

__all__ = [
    "Barrier",
    "DeadlockBroken",
    "Election",
    "Explanation",
    "Grant",
    "HolderFacts",
    "Latch",
    "Leader",
    "Leadership",
    "LockConfig",
    "LockDenied",
    "LockEndangered",
    "LockLine",
    "LockLost",
    "LockManager",
    "LockOrderInverted",
    "LockReturnDelayed",
    "LockStats",
    "LockStore",
    "LockType",
    "LockWaitLong",
    "Semaphore",
    "Step",
    "WaiterFacts",
    "Why",
    "current_grant",
    "get_lock_manager",
]
