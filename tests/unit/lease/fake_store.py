"""Session rows in memory, judged by the clock that the test holds.

Does what the Lua scripts do, step by step. It may be made to fail, to hang, or to
answer late; every call is written down with the thread that made it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from math import floor

from quorate.core.clock import Clock
from quorate.core.errors import StoreError

PAGE = 3


class FakeStore:
    """Satisfies `SessionStore`. `trouble` is raised instead of doing anything."""

    def __init__(self, clock: Clock) -> None:
        self.rows: dict[str, dict[str, int]] = {}
        self.indexes: dict[str, set[str]] = {}
        self.trouble: StoreError | None = None
        self.hangs = False
        self.late_s = 0.0
        self.calls: list[tuple[str, str, str]] = []
        self.threads: set[int] = set()
        self.closed = 0
        self._clock = clock
        self._gate = threading.Lock()
        self.entered = asyncio.Event()

    def now_ms(self) -> int:
        return floor(self._clock.monotonic() * 1000)

    def count(self, what: str) -> int:
        return sum(call[0] == what for call in self.calls)

    def is_alive(self, tag: str, session: str) -> bool:
        return self.rows.get(tag, {}).get(session, 0) > self.now_ms()

    def kill(self, tag: str, session: str) -> None:
        """What somebody else does who ends this session."""
        self.rows.setdefault(tag, {})[session] = 0

    async def join(self, tag: str, session: str, ttl_ms: int) -> bool:
        await self._step("join", tag, session)
        with self._gate:
            row = self.rows.setdefault(tag, {})
            if session in row and row[session] <= self.now_ms():
                return False
            row[session] = self.now_ms() + ttl_ms
        await self._answer()
        return True

    async def renew(
        self, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        await self._step("renew", tag, session)
        with self._gate:
            now, row = self.now_ms(), self.rows.setdefault(tag, {})
            alive = row.get(session, 0) > now
            if alive:
                row[session] = now + ttl_ms
            ends = [end for end in row.values() if end > now]
            dead = len(row) - len(ends)
        await self._answer()
        left_s = (min(ends) - now) / 1000 if ends else None
        return alive, now / 1000, left_s, dead

    async def end(self, tag: str, session: str) -> bool:
        await self._step("end", tag, session)
        with self._gate:
            was_alive = self.is_alive(tag, session)
            if was_alive:
                self.rows[tag][session] = 0
        return was_alive

    async def dead(self, tag: str) -> list[str]:
        await self._step("dead", tag, "")
        now = self.now_ms()
        row = self.rows.get(tag, {})
        gone = sorted((end, name) for name, end in row.items() if end <= now)
        return [name for _, name in gone[:PAGE]]

    async def bury(self, tag: str, session: str, indexes: Sequence[str]) -> bool:
        await self._step("bury", tag, session)
        if any(session in self.indexes.get(index, ()) for index in indexes):
            return False
        return self.rows.get(tag, {}).pop(session, None) is not None

    async def close(self) -> None:
        self.closed += 1

    async def _step(self, what: str, tag: str, session: str) -> None:
        self.calls.append((what, tag, session))
        self.threads.add(threading.get_ident())
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble

    async def _answer(self) -> None:
        if self.late_s:
            await self._clock.sleep(self.late_s)
