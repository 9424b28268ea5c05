"""What the queue costs the server: counts are exact, so they are held here.

A request is a command that a client sends; an inner call is one made inside a script.
The saturated limit counts both together, the idle limit counts requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from tests.contract.broker_place import Party, done
from tests.servers import Server

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import Lease, QueueConfig, Task
from quorate.wire.redis import open_wire

SENT = ("evalsha", "eval", "ping", "subscribe", "info", "script|load")
"""What a worker sends; everything else that it causes happens inside scripts."""


async def _nothing(_payload: None) -> None:
    return None


async def _done(queue: QueueManager, count: int, within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while queue.counts().done_total < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("concurrency", "most"), [(64, 0.5), (256, 0.25)])
async def test_a_saturated_worker_costs_half_a_command_a_task(
    server: Server, namespace: str, concurrency: int, most: float
) -> None:
    count = 10_000
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig(concurrency=concurrency)) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.enqueue_many([Task(name="nothing") for _ in range(count)])
        server.reset_stats()

        await queue.start_workers(in_process=True)
        await _done(queue, count)
        stats = server.commandstats()

    assert sum(stats.values()) / count <= most
    assert sum(stats.get(name, 0) for name in SENT) / count <= 0.05


ENQUEUE = {
    "evalsha": 1,
    "time": 1,
    "hmget": 3,
    "exists": 1,
    "hset": 1,
    "rpush": 1,
    "spop": 1,
}
CLAIM = {
    "evalsha": 1,
    "time": 1,
    "zscore": 1,
    "hmget": 3,
    "lpop": 1,
    "hset": 2,
    "sadd": 1,
}
SETTLE = {"hmget": 1, "hdel": 2, "srem": 1, "hset": 1, "zadd": 1}


async def test_tasks_without_guards_do_not_pay_for_them(
    private_server: Server, namespace: str
) -> None:
    """What a batch costs, call by call: no more than before there were guards."""
    wire = await open_wire(private_server.url, namespace=namespace)
    party = Party(wire, "ann")
    await party.exchange(1)

    async def cost(work: Awaitable[object]) -> dict[str, int]:
        private_server.reset_stats()
        await work
        stats = private_server.commandstats()
        return {name: n for name, n in stats.items() if name != "config|resetstat"}

    plain = {"upkeep": False, "look": False}
    await party.puts(1)
    assert await cost(party.puts(32)) == ENQUEUE
    await party.takes(1)
    claim = await party.request(32, takes=(0, 32, 0))
    bare = replace(claim, bell=replace(claim.bell, was_listed=False), **plain)
    leases: list[Lease] = []

    async def claims() -> None:
        leases.extend((await party.broker.exchange(bare)).leases)

    assert await cost(claims()) == CLAIM
    assert len(leases) == 32
    settle = await party.request(0, *map(done, leases))
    bare = replace(settle, bell=replace(settle.bell, was_listed=False), **plain)
    expected = Counter(CLAIM) + Counter(SETTLE)
    expected.subtract({"hmget": 2, "lpop": 1, "hset": 1, "sadd": 1})
    assert await cost(party.broker.exchange(bare)) == {
        name: count for name, count in expected.items() if count
    }
    await wire.stop()


async def test_a_crowd_of_producers_shares_calls(
    server: Server, namespace: str
) -> None:
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig()) as queue,
    ):
        await queue.enqueue_task("nothing")
        server.reset_stats()

        await asyncio.gather(*(queue.enqueue_task("nothing") for _ in range(256)))

        assert server.commandstats()["evalsha"] == 1


@pytest.mark.slow
async def test_an_idle_worker_sends_less_than_one_request_a_second(
    private_server: Server, namespace: str
) -> None:
    server = private_server
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, QueueConfig()) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.start_workers(in_process=True)
        await queue.result(await queue.enqueue_task("nothing"))
        await asyncio.sleep(0.2)
        server.reset_stats()

        began = time.monotonic()
        await asyncio.sleep(8.0)
        stats = server.commandstats()
        passed_s = time.monotonic() - began

    assert sum(stats.get(name, 0) for name in SENT) - 1 <= passed_s


async def test_an_idle_worker_is_woken_and_does_not_poll(
    server: Server, namespace: str
) -> None:
    """It would look again after an hour; the message brings it within milliseconds."""
    config = QueueConfig(poll_s=3600.0)
    async with (
        Backend(server.url, namespace=namespace) as backend,
        QueueManager(backend, config) as queue,
    ):
        await queue.register_task_handler("nothing", _nothing)
        await queue.start_workers(in_process=True)
        for _ in range(20):
            task = await queue.enqueue_task("nothing")
            await queue.result(task, wait_s=2.0)
        later = await queue.enqueue_task("nothing", delay_s=0.1)
        await queue.result(later, wait_s=2.0)
