"""A node's queue heeds the configuration, the checks and the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import quorate
from quorate.core.errors import ConfigInvalid
from quorate.health import HealthCheckConfig, failed, passed
from quorate.health.model import CheckResult
from quorate.node import Node, connect
from quorate.queue.context import TaskContext
from quorate.registry import ServiceInfo
from quorate.settings import load_settings

CALM = {"QUORATE_QUEUE__POLL_S": "0.2", "QUORATE_QUEUE__RESERVED_FOR_HIGH": "0"}
OFTEN = HealthCheckConfig(interval=0.05, timeout=0.04, rise=1, fall=1)
WITHIN_S = 10.0


class Payments:
    def __init__(self) -> None:
        self.is_well = True

    async def check(self) -> CheckResult:
        return passed() if self.is_well else failed("no answer")


@pytest.fixture
def url(namespace: str) -> str:
    return f"memory://{namespace}"


@pytest.fixture
def settings() -> quorate.Settings:
    return load_settings(environ=CALM)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.01)


async def running(node: Node, count: int) -> None:
    await until(lambda: node.queue.counts().running == count)


async def test_a_change_of_the_configuration_reaches_workers_that_run(url, settings):
    gate = asyncio.Event()

    async def wait(_payload: None) -> None:
        await gate.wait()

    async with connect(url, settings=settings) as node:
        await node.config.set("queue.concurrency", 2)
        await node.queue.register_task_handler("wait", wait)
        await node.queue.start_workers(in_process=True)
        ids = [await node.queue.enqueue_task("wait") for _ in range(30)]
        await running(node, 2)

        await node.config.set("queue.concurrency", 6)
        await running(node, 6)
        await node.config.set("queues.default.concurrency", 9)
        await running(node, 9)
        await node.config.set("queue.paused", True)
        gate.set()
        await running(node, 0)
        assert (await node.queue.stats()).depth == 21
        await node.config.set("queue.paused", False)
        for task in ids:
            await node.queue.result(task, wait_s=WITHIN_S)


async def test_a_rate_of_the_configuration_holds_for_all_workers(url, settings):
    async def done(_payload: None) -> None: ...

    async with (
        connect(url, settings=settings) as node,
        connect(url, settings=settings) as other,
    ):
        await node.queue.register_task_handler("done", done)
        await other.config.set("queues.default.rate", {"limit": 1, "per_s": 3600.0})
        await until(lambda: "default" in node._heeding[1]._rates)
        await node.queue.start_workers(in_process=True)
        ids = [await node.queue.enqueue_task("done") for _ in range(5)]
        await node.queue.result(ids[0], wait_s=WITHIN_S)
        assert (await node.queue.stats()).depth == 4

        await other.config.delete("queues.default.rate")

        for task in ids:
            await node.queue.result(task, wait_s=WITHIN_S)


async def test_what_no_worker_could_heed_is_refused_when_it_is_set(url, settings):
    async with connect(url, settings=settings) as node:
        with pytest.raises(ConfigInvalid, match=r"queue\.concurrency"):
            await node.config.set("queue.concurrency", 0)

        assert node.config.get("queue.concurrency", None) is None


async def test_a_task_waits_while_the_check_of_its_service_fails(url, settings):
    payments, ran = Payments(), []

    async def pay(_payload: None, context: TaskContext) -> int:
        ran.append(context.task_id)
        return context.attempt

    async with connect(url, settings=settings) as node:
        node.health.register_checker("payments", payments, config=OFTEN)
        await node.queue.register_task_handler("pay", pay, service="payments")
        await node.queue.start_workers(in_process=True)
        await node.queue.result(await node.queue.enqueue_task("pay"), wait_s=WITHIN_S)

        payments.is_well = False
        await until(
            lambda: node.health.report().checks["payments"].state.value == "unhealthy"
        )
        await asyncio.sleep(0.15)
        waiting = [await node.queue.enqueue_task("pay") for _ in range(3)]
        async with asyncio.timeout(WITHIN_S):
            while (await node.queue.stats()).scheduled != 3:
                await asyncio.sleep(0.01)
        assert len(ran) == 1

        payments.is_well = True
        results = [await node.queue.result(task, wait_s=WITHIN_S) for task in waiting]

    assert results == [1, 1, 1]
    assert ran[1:] == waiting


async def test_a_service_without_a_fit_instance_is_down(url, settings):
    async def pay(_payload: None) -> str:
        return "paid"

    async with connect(url, settings=settings) as node:
        await node.queue.register_task_handler("pay", pay)
        await node.queue.start_workers(in_process=True)
        task = quorate.queue.Task(name="pay", service="payments")
        ident = await node.queue.carry(task)
        async with asyncio.timeout(WITHIN_S):
            while (await node.queue.stats()).scheduled != 1:
                await asyncio.sleep(0.01)

        await node.registry.register(
            ServiceInfo(id="p1", name="payments", endpoint="http://127.0.0.1:8000")
        )

        assert await node.queue.result(ident, wait_s=WITHIN_S) == "paid"
