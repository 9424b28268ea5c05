"""A lock manager by itself, with a connection and a session of its own."""

from __future__ import annotations

from quorate.backend import Backend
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Household

from .manager import LockManager
from .model import LockConfig


async def get_lock_manager(
    url: str,
    config: LockConfig | None = None,
    *,
    namespace: str = "quorate",
    emit: Emit = silent,
) -> LockManager:
    """A lock manager that is ready for use.

    Managers with the same URL and namespace share their locks, wherever they run.
    Close it with `await manager.close()`, or use it with `async with`. Raises
    `InvalidUrl`, `StoreUnavailable`.
    """
    backend = Backend(url, namespace=namespace, emit=emit)
    household = Household()
    await household.start(backend)
    manager = LockManager.over(
        backend.wire, backend.session, config, emit, backend.chance
    )
    backend.sweeper.add(manager.sweeper_room())
    await household.start(manager)
    manager.stands_on(backend)
    return manager
