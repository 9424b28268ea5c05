"""Small servers on loopback that misbehave in one way each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Handler], Awaitable[int]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port; everything about it is gone afterwards."""
    writers: set[asyncio.StreamWriter] = set()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writers.add(writer)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            return  # the test is over; asyncio would log it
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in tuple(writers):
            writer.transport.abort()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`port = await serve(handler)`."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler) -> int:
            return await stack.enter_async_context(serving(handler))

        yield start


@pytest.fixture
async def black_hole(serve: Serve) -> int:
    """A port that accepts and never says a word."""

    async def swallow(
        reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        while await reader.read(65_536):
            pass

    return await serve(swallow)


@pytest.fixture
async def closed_port() -> int:
    """A port at which nobody listens."""
    async with serving(lambda _r, _w: asyncio.sleep(0)) as port:
        return port


@pytest.fixture
def back_to() -> Callable[[int], Awaitable[bool]]:
    """`assert await back_to(5)`: only so many tasks are left, after a few turns."""

    async def settle(tasks: int) -> bool:
        for _ in range(1000):
            if len(asyncio.all_tasks()) <= tasks:
                return True
            await asyncio.sleep(0)
        return False

    return settle


class Stopwatch:
    """How long the block took, in seconds."""

    took_s = 0.0

    def __enter__(self) -> Stopwatch:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_details: object) -> None:
        self.took_s = time.monotonic() - self._began


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()
