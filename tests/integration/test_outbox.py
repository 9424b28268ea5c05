"""Tasks that were promised while the server was away, and the process then killed."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.servers import Server, StartServer

from quorate.backend import Backend
from quorate.queue.events import OutboxEmptied
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.queue.redis.keys import QueueKeys
from quorate.testing.failpoints import VARIABLE
from quorate.testing.heard import Heard

SCRIPT = Path(__file__).with_name("outbox_process.py")
WITHIN_S = 20.0


class Producer:
    """A process that enqueues, and what it was promised."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.promised: list[str] = []

    async def promises(self, more: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            for _ in range(more):
                line = await self.process.stdout.readline()
                assert line, "it ended by itself"
                self.promised.append(line.decode().strip())

    async def kill(self) -> None:
        """SIGKILL; then what it had said and nobody had read."""
        self.process.kill()
        rest = await self.process.stdout.read()
        self.promised += rest.decode().split("\n")[:-1]
        await self.process.wait()

    async def dies(self) -> None:
        """It ends by itself, at an armed point."""
        async with asyncio.timeout(WITHIN_S):
            rest = await self.process.stdout.read()
            self.promised += rest.decode().split("\n")[:-1]
            await self.process.wait()


@asynccontextmanager
async def a_producer(
    server: Server, folder: Path, first: int = 0, **environment: str
) -> AsyncIterator[Producer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), server.url, "outbox", str(folder), str(first),
        stdout=PIPE, env=dict(os.environ) | environment,
    )  # fmt: skip
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield Producer(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def enqueued(backend: Backend) -> list[str]:
    key = QueueKeys(backend.wire.keys, "default").prefix + "r1"
    return [
        task.decode() for task in await backend.wire.calls.command("LRANGE", key, 0, -1)
    ]


@pytest.fixture
def durable_server(start_server: StartServer) -> Server:
    return start_server("valkey", persistence="always")


async def replay(server: Server, folder: Path, heard: Heard) -> list[str]:
    """The next process opens the same folder."""
    config = QueueConfig(outbox_dir=str(folder))
    backend = Backend(server.url, namespace="outbox", emit=heard.emit)
    async with backend, QueueManager(backend, config):
        await heard(OutboxEmptied, within_s=WITHIN_S)
        return await enqueued(backend)


async def test_what_was_promised_while_the_server_was_away_survives_kill_9(
    durable_server: Server, tmp_path: Path, heard: Heard
) -> None:
    server, folder = durable_server, tmp_path / "outbox"
    async with a_producer(server, folder) as producer:
        await producer.promises(30)
        server.kill()
        await producer.promises(100)
        await producer.kill()
    await server.restart()

    found = await replay(server, folder, heard)

    assert set(producer.promised) <= set(found)
    assert len(found) == len(set(found))
    assert found == sorted(found, key=lambda task: int(task[1:]))
    assert sum(path.stat().st_size > 100 for path in folder.iterdir()) == 0


async def test_a_process_killed_while_it_sends_doubles_nothing(
    durable_server: Server, tmp_path: Path, heard: Heard
) -> None:
    """It dies after the server has taken tasks, and before it has noted that."""
    server, folder = durable_server, tmp_path / "outbox"
    point = {VARIABLE: "queue.outbox_before_noting=kill"}
    async with a_producer(server, folder, **point) as producer:
        server.kill()
        await producer.promises(50)
        await server.restart()
        await producer.dies()

    found = await replay(server, folder, heard)

    assert set(producer.promised) <= set(found)
    assert len(found) == len(set(found))


async def test_a_server_that_is_back_gets_all_of_it_in_order(
    durable_server: Server, tmp_path: Path
) -> None:
    server, folder = durable_server, tmp_path / "outbox"
    async with a_producer(server, folder) as producer:
        for _ in range(2):
            await producer.promises(20)
            server.kill()
            await producer.promises(60)
            await server.restart()
        async with (
            asyncio.timeout(WITHIN_S),
            Backend(server.url, namespace="outbox") as ours,
        ):
            while producer.promised[-1] not in await enqueued(ours):
                await asyncio.sleep(0.05)
        await producer.kill()

    async with Backend(server.url, namespace="outbox") as ours:
        found = await enqueued(ours)
    assert set(producer.promised[:-1]) <= set(found)
    assert len(found) == len(set(found))
