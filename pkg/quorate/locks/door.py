"""The way in for who wants locks alone, without a node.

The address and the defaults come from the settings where the call does not give them.
"""

from __future__ import annotations

from dataclasses import replace

from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Household
from quorate.settings.backing import backend_for
from quorate.settings.load import load_settings
from quorate.settings.tree import Settings

from .manager import LockManager
from .model import LockConfig


async def get_lock_manager(
    url: str | None = None,
    config: LockConfig | None = None,
    *,
    namespace: str | None = None,
    emit: Emit = silent,
    settings: Settings | None = None,
) -> LockManager:
    """A lock manager that is ready for use.

    Managers with the same URL and namespace share their locks, wherever they run.
    Close it with `await manager.close()`, or use it with `async with`. Without `url`
    the server is that of the settings (`distributed_lock.redis_url`, REDIS_URL), and
    without `config` so are the defaults. Raises `InvalidUrl`, `InvalidSettings`,
    `StoreUnavailable`.
    """
    settings = settings or load_settings()
    if namespace is not None:
        settings = replace(settings, namespace=namespace)
    url = url or settings.distributed_lock.redis_url.reveal()
    backend = backend_for(url, settings, emit)
    household = Household()
    await household.start(backend)
    manager = LockManager.over(
        backend.lock_server,
        backend.session,
        config or config_of(settings),
        emit,
        backend.chance,
    )
    backend.sweeper.add(manager.sweeper_room())
    await household.start(manager)
    manager.stands_on(backend)
    return manager


def config_of(settings: Settings) -> LockConfig:
    """What the settings say of locks."""
    owner, locks = settings.distributed_lock, settings.locks
    return LockConfig(
        default_timeout=owner.default_timeout,
        auto_extend=owner.auto_extend,
        max_hold_s=locks.max_hold_s or None,
        wait_s=locks.wait_s,
        deadlock_timeout_s=locks.deadlock_timeout_s,
        warn_of_order=locks.warn_of_order,
        replicas=locks.replicas,
        strict=locks.strict,
    )
