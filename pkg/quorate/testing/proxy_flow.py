"""One direction of a connection through the fault proxy.

It reads on one side and delivers on the other, with a bounded queue between, so that
latency delays data without narrowing the stream. What is wrong with it is a list of
toxics that may change at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TypeVar

from quorate.core.clock import Chance

from .toxics import Bandwidth, Latency, LimitData, Slicer, SlowClose, Swallow, Toxic

T = TypeVar("T", bound=Toxic)

READ_BYTES = 65_536
QUEUED_CHUNKS = 64
_SMOOTH_S = 0.02


class Flow:
    """One direction of a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.toxics: list[Toxic] = []
        self.limits: dict[int, int] = {}
        self.passed = 0
        self.has_lost = False
        self.is_silent = False
        self.is_done = False
        self._arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)

    def first(self, kind: type[T]) -> T | None:
        """The first toxic of this kind that acts on this flow."""
        return next((toxic for toxic in self.toxics if isinstance(toxic, kind)), None)

    async def read(self) -> None:
        """Take what comes until the end of it."""
        loop = asyncio.get_running_loop()
        while data := await self.reader.read(READ_BYTES):
            await self._arrived.put((loop.time(), data))
        await self._arrived.put((loop.time(), b""))

    async def next(self, chance: Chance) -> bytes:
        """The next data when it is due; empty at the end."""
        arrived, data = await self._arrived.get()
        due = arrived
        for toxic in self.toxics:
            if isinstance(toxic, Latency):
                jitter_s = chance.uniform(-toxic.jitter_s, toxic.jitter_s)
                due += max(0.0, toxic.latency_s + jitter_s)
        wait_s = due - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return data

    async def deliver(self, data: bytes) -> None:
        """Pass `data` on, unless it is swallowed."""
        if self.is_silent or self.first(Swallow) is not None:
            self.has_lost = self.has_lost or bool(data)
            return
        slicer, bandwidth = self.first(Slicer), self.first(Bandwidth)
        for piece in _pieces(data, slicer, bandwidth):
            if bandwidth is not None:
                await asyncio.sleep(len(piece) / bandwidth.bytes_per_s)
            self.writer.write(piece)
            self.passed += len(piece)
            await self.writer.drain()
            if slicer is not None and slicer.delay_s:
                await asyncio.sleep(slicer.delay_s)

    async def finish(self) -> None:
        """Tell the other side that no more will come."""
        slow = self.first(SlowClose)
        if slow is not None:
            await asyncio.sleep(slow.delay_s)
        if not self.is_silent and self.first(Swallow) is None:
            with contextlib.suppress(OSError):
                self.writer.write_eof()

    def within_limit(self, data: bytes) -> bytes:
        """As much of `data` as the tightest limit still lets through."""
        for toxic in self.toxics:
            if isinstance(toxic, LimitData):
                left = self.limits.setdefault(id(toxic), toxic.size)
                data = data[:left]
                self.limits[id(toxic)] = left - len(data)
        return data

    @property
    def is_spent(self) -> bool:
        """Whether a limit has been reached."""
        return any(left <= 0 for left in self.limits.values())


def _pieces(
    data: bytes, slicer: Slicer | None, bandwidth: Bandwidth | None
) -> Iterator[bytes]:
    size = len(data)
    if slicer is not None:
        size = slicer.size
    if bandwidth is not None:
        size = max(1, min(size, int(bandwidth.bytes_per_s * _SMOOTH_S)))
    for at in range(0, len(data), max(1, size)):
        yield data[at : at + size]
