"""What the tests of this room share: a store in memory and a clock that skips."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quorate.config.model import Commit, Contents, Cursor, Draft
from quorate.config.store import Changes
from quorate.core.errors import ConfigConflict, StoreUnavailable


class SkippingClock:
    """Time passes only by sleeping, and at once. `during` is called in each sleep."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self.during: Callable[[int], None] = lambda _count: None

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, delay_s: float) -> None:
        self.time += delay_s
        self.slept.append(delay_s)
        self.during(len(self.slept))


class StoreInMemory:
    """A `ConfigStore` of one test; `away` makes it fail, `gap` makes it forget."""

    def __init__(self) -> None:
        self.contents = Contents(Cursor("row", 0, ""))
        self.commits: list[Commit] = []
        self.away = False
        self.gap = ""
        self.page = 100
        self.listeners: list[Callable[[], None]] = []
        self.snapshots = self.closed = 0

    async def snapshot(self) -> Contents:
        self._reach()
        self.snapshots += 1
        self.gap = ""
        return self.contents

    async def changes(self, after: Cursor) -> Changes:
        self._reach()
        if self.gap:
            return Changes(gap=self.gap)
        later = [c for c in self.commits if c.revision > after.revision]
        return Changes(tuple(later[: self.page]), "row", more=len(later) > self.page)

    async def commit(self, draft: Draft) -> int:
        self._reach()
        for write in draft.writes:
            if write.expect is not None:
                now = self.contents.revision_of(write.key)
                if now != write.expect:
                    raise ConfigConflict(f"{write.key} is at {now}")
        revision = self.contents.cursor.revision + 1
        commit = Commit(
            revision, draft.id, 5.0, draft.author, draft.comment, draft.writes
        )
        self.commits.append(commit)
        self.contents = self.contents.after((commit,))
        for listener in self.listeners:
            listener()
        return revision

    async def history(self, key: str, limit: int) -> tuple[Commit, ...]:
        self._reach()
        found = [c for c in reversed(self.commits) if not key or c.concerns(key)]
        return tuple(found[:limit])

    async def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._reach()
        self.listeners.append(changed)
        return lambda: self.listeners.remove(changed)

    async def close(self) -> None:
        self.closed += 1

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("The store is away.")


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()


@pytest.fixture
def skipping() -> SkippingClock:
    return SkippingClock()
