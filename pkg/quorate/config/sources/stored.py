"""The shared store as a source: followed from revision to revision.

Keeps the contents as of its cursor and applies what happened since. If that cannot be
told (another epoch, trimmed, lost in a failover), it takes a whole snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.config.events import ConfigResynced
from quorate.config.model import Contents, Layer, Loaded
from quorate.config.store import ConfigStore
from quorate.core.events import Emit

RECHECK_S = 5.0


class StoreSource:
    """Follows a `ConfigStore`. `contents` is what it knows."""

    name = "store"
    layer = Layer.STORE
    recheck_s = RECHECK_S

    def __init__(self, store: ConfigStore, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self._one_at_a_time = asyncio.Lock()
        self._fresh = False
        self._loaded: Loaded | None = None
        self.contents = Contents()

    async def load(self) -> Loaded:
        """The store as of now."""
        async with self._one_at_a_time:
            before = self.contents
            await self._follow()
            if self.contents.cursor != before.cursor or self._loaded is None:
                self._loaded = loaded_from(self.contents)
            return self._loaded

    async def watch(self, changed: Callable[[], None]) -> None:
        """Tell of published changes. Runs until cancelled."""
        undo = await self._store.hear(changed)
        try:
            changed()
            await asyncio.Event().wait()
        finally:
            undo()

    async def _follow(self) -> None:
        more = True
        while more:
            if not self._fresh:
                await self._take_snapshot("start")
            changes = await self._store.changes(self.contents.cursor)
            if changes.gap:
                await self._take_snapshot(changes.gap)
                return
            self.contents = self.contents.after(changes.commits, changes.epoch)
            more = changes.more

    async def _take_snapshot(self, reason: str) -> None:
        self.contents = await self._store.snapshot()
        self._fresh = True
        if reason != "start":
            self._emit(
                ConfigResynced(reason=reason, revision=self.contents.cursor.revision)
            )


def loaded_from(contents: Contents) -> Loaded:
    """What a store with these contents holds."""
    cursor = contents.cursor
    return Loaded(
        contents.tree(),
        f"{cursor.epoch}-{cursor.revision}-{cursor.id}",
        {key: f"revision {leaf.revision}" for key, leaf in contents.leaves.items()},
        cursor.revision,
    )
