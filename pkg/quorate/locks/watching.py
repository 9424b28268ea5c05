"""Looking again when something has changed, and at times in case news were lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from .store import MeetingStore


class Watch:
    """`async with` it and look; `await rings()` before each further look."""

    def __init__(self, store: MeetingStore, name: str, fallback_s: float) -> None:
        self._store = store
        self._name = name
        self._fallback_s = fallback_s
        self._bell = asyncio.Event()
        self._leave: Callable[[], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._leave is not None

    async def __aenter__(self) -> Watch:
        self._leave = await self._store.watch(self._name, self._bell.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    async def rings(self) -> None:
        """Wait until there is a reason to look."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._fallback_s):
                await self._bell.wait()
        self._bell.clear()
