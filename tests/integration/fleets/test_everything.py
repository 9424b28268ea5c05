"""A whole node where the data is spread over servers, or moves from one to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.fleets import Cluster, Fleets, SentinelSet

import quorate
from quorate.backend import Backend
from quorate.core.errors import LockNotGranted
from quorate.core.events import Event
from quorate.node import Node
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.registry import ServiceInfo
from quorate.settings import Settings

pytestmark = pytest.mark.fleet

QUEUES = ("default", "mail", "reports", "{odd} name")


@pytest.fixture(params=["sentinel", "cluster"])
def fleet(request: pytest.FixtureRequest, fleets: Fleets) -> SentinelSet | Cluster:
    return fleets.shared(request.param)


@pytest.fixture
async def node(fleet: SentinelSet | Cluster, namespace: str) -> AsyncIterator[Node]:
    settings = Settings(namespace=namespace)
    async with quorate.connect(fleet.url, settings=settings) as node:
        yield node


async def test_two_nodes_agree_on_everything(
    fleet: SentinelSet | Cluster, node: Node, namespace: str
) -> None:
    troubles: list[Event] = []
    node.listen(lambda e: troubles.append(e) if e.level != "info" else None)
    instance = ServiceInfo(id="o-1", name="orders", endpoint="http://127.0.0.1:80")
    other = quorate.connect(fleet.url, settings=Settings(namespace=namespace))

    async with other, node.locks.acquire_lock("user:42"):
        with pytest.raises(LockNotGranted):
            await other.locks.acquire_lock("user:42", wait_s=0.1).__aenter__()
        await node.registry.register(instance)
        await node.config.set("mail.sender", "me@example.com")
        found = await other.registry.discover("orders")
        async with asyncio.timeout(5):
            while other.config.get("mail.sender", None) is None:
                await asyncio.sleep(0.01)

        assert [info.id for info in found] == ["o-1"]
        assert "user:42" in [line.name for line in await other.locks.ls()]

    assert troubles == []


async def test_every_queue_rings_its_workers_and_tells_who_waits(
    fleet: SentinelSet | Cluster, namespace: str
) -> None:
    troubles: list[Event] = []

    def heard(event: Event) -> None:
        if event.level != "info":
            troubles.append(event)

    async def double(payload: int) -> int:
        return 2 * payload

    config = QueueConfig(queues=QUEUES)
    backends = [Backend(fleet.url, namespace=namespace, emit=heard) for _ in range(2)]
    async with (
        backends[0],
        backends[1],
        QueueManager(backends[0], config) as works,
        QueueManager(backends[1], config) as asks,
    ):
        await works.register_task_handler("double", double)
        await works.start_workers(in_process=True)
        for number, queue in enumerate(QUEUES * 3):
            task = await asks.enqueue_task("double", number, queue=queue)
            result = await asks.result(task, queue=queue, wait_s=1.5)
            assert result == 2 * number

    assert troubles == []
