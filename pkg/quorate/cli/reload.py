"""Waits until source files change, for `--reload`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import Change, PythonFilter, awatch

STEP_MS = 50
DEBOUNCE_MS = 300


class Changes:
    """Changes of Python files in a folder and below it, until `told` is set.

    It watches from the first `next` on; what changes between two of them is not missed.
    """

    def __init__(self, folder: Path, told: asyncio.Event) -> None:
        self._folder = folder
        self._told = told
        self._stream: AsyncGenerator[set[tuple[Change, str]], None] | None = None

    async def next(self) -> tuple[str, ...]:
        """The files that changed; empty when `told` comes first."""
        if self._stream is None:
            self._stream = awatch(
                self._folder,
                watch_filter=PythonFilter(),
                step=STEP_MS,
                debounce=DEBOUNCE_MS,
                stop_event=self._told,
            )
        async for changes in self._stream:
            return tuple(sorted({self._short(path) for _, path in changes}))
        return ()

    async def close(self) -> None:
        """Watch no more."""
        if self._stream is not None:
            await self._stream.aclose()

    def _short(self, path: str) -> str:
        found = Path(path)
        if found.is_relative_to(self._folder):
            return str(found.relative_to(self._folder))
        return path
