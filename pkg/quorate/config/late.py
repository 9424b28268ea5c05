"""A store that is opened when it is first needed, and tried again if that fails.

So that a process can start on its last known good configuration while the server is
away, and joins it when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .model import Commit, Contents, Cursor, Draft
from .store import Changes, ConfigStore

Open = Callable[[], Awaitable[ConfigStore]]
"""Opens the store. Raises `StoreUnavailable` if that cannot be done now."""


class LateStore:
    """A `ConfigStore` behind a door that may not open yet."""

    def __init__(self, open_store: Open) -> None:
        self._open = open_store
        self._store: ConfigStore | None = None
        self._opening = asyncio.Lock()

    async def snapshot(self) -> Contents:
        return await (await self._opened()).snapshot()

    async def changes(self, after: Cursor) -> Changes:
        return await (await self._opened()).changes(after)

    async def commit(self, draft: Draft) -> int:
        return await (await self._opened()).commit(draft)

    async def history(self, key: str, limit: int) -> tuple[Commit, ...]:
        return await (await self._opened()).history(key, limit)

    async def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        return await (await self._opened()).hear(changed)

    async def close(self) -> None:
        async with self._opening:
            store, self._store = self._store, None
            if store is not None:
                await store.close()

    async def _opened(self) -> ConfigStore:
        if self._store is not None:
            return self._store
        async with self._opening:
            if self._store is None:
                self._store = await self._open()
            return self._store
