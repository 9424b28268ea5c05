"""The way in for who wants configuration alone, without a node.

Addresses and limits come from the settings where the call does not give them, and the
process's environment is handed to the manager here.
"""

from __future__ import annotations

from collections.abc import Mapping

from quorate.backend import Backend
from quorate.core.events import Emit, silent
from quorate.core.shape import describe
from quorate.settings.backing import backend_for
from quorate.settings.environment import short_names
from quorate.settings.load import load_settings, process_environment
from quorate.settings.tree import Settings

from .late import LateStore
from .manager import ConfigManager
from .options import ConfigOptions
from .redis import RedisConfigStore
from .store import ConfigStore


async def get_config_manager(
    url: str | None = None, *, emit: Emit = silent, settings: Settings | None = None
) -> ConfigManager:
    """A manager that is started. Close it with `await manager.stop()`.

    `url` is the shared store; without it that of the settings. Raises `InvalidUrl`,
    `InvalidSettings`, and `StoreUnavailable` if the server is away and nothing was kept
    of it on disk (`data_dir`).
    """
    environ = process_environment()
    settings = settings or load_settings(environ=environ)
    url = url or settings.dynamic_config.redis_url.reveal()
    backend = backend_for(url, settings, emit)
    opening = _Opening(backend, url, settings, emit)
    manager = ConfigManager(
        LateStore(opening.open), config_options(settings, environ), emit=emit
    )
    try:
        await manager.start()
    except BaseException:
        await manager.stop()
        raise
    return manager


def config_options(settings: Settings, environ: Mapping[str, str]) -> ConfigOptions:
    """The options of a manager that follow from the settings."""
    return ConfigOptions(
        environment=settings.dynamic_config.environment,
        environ=environ,
        short_names=short_names(),
        kinds=_kinds(),
        data_dir=settings.data_dir,
        owner=settings.namespace,
        start_within_s=settings.wire.connect_timeout_s + settings.wire.timeout_s,
    )


class _Opening:
    """Opens the backend behind a store; each try after a failure with a new one."""

    def __init__(
        self, backend: Backend, url: str, settings: Settings, emit: Emit
    ) -> None:
        self._next: Backend | None = backend
        self._url = url
        self._settings = settings
        self._emit = emit

    async def open(self) -> ConfigStore:
        backend = self._next or backend_for(self._url, self._settings, self._emit)
        self._next = None
        await backend.start()
        return _OwnStore(backend)


class _OwnStore(RedisConfigStore):
    """A store that closes its backend when it is closed."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.wire, backend.session)
        self._backend = backend

    async def close(self) -> None:
        await self._backend.stop()


def _kinds() -> dict[str, type]:
    """The types of Quorate's own settings, for those who read them as configuration."""
    kinds: dict[str, type] = {}
    for described in describe(Settings):
        default = described.default
        if isinstance(default, tuple):
            kinds[described.path] = list
        elif isinstance(default, bool | int | float):
            kinds[described.path] = type(default)
    return kinds
