"""One failure detector: lock, instance and task of a process are lost together.

A real process holds a lock, announces an instance and works on a task. It is killed,
stopped or stalled; the others see all three free, each within its bound, and measured.
With `ttl` 2 s: kill -9 and SIGSTOP within ttl + 1.5 s, a stalled loop within
max_stall + ttl + 1.5 s (DESIGN.md §1, scaled down from 15 s).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers import Server

import quorate
from quorate.settings import load_settings

TTL_S = 2.0
STALL_S = 3.0
SLACK_S = 1.5

HOLDER = """
import asyncio, signal, sys, time
import quorate
from quorate.settings import load_settings

# Who runs the tests in the background has SIGINT ignored, and so have its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def long_task(payload):
    print("working", flush=True)
    await asyncio.Event().wait()

async def main(url, namespace, stall_after):
    settings = load_settings(environ={env})
    async with quorate.connect(url, settings=settings) as node:
        async with node.locks.acquire_lock("shared", on_loss="flag") as grant:
            await node.registry.register(quorate.ServiceInfo(
                id="one", name="story", endpoint="http://127.0.0.1:9"))
            await node.queue.register_task_handler("long", long_task)
            await node.queue.start_workers(in_process=True)
            print("token", grant.token, flush=True)
            if stall_after:
                await asyncio.sleep(stall_after)
                time.sleep(60)
            while not grant.is_lost:
                await asyncio.sleep(0.02)
            try:
                grant.check()
            except quorate.LockLostError:
                print("lost", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:3], float(sys.argv[3])))
"""


def environment(namespace: str) -> dict[str, str]:
    return {
        "QUORATE_NAMESPACE": namespace,
        "QUORATE_SESSION__TTL_S": str(TTL_S),
        "QUORATE_SESSION__RENEW_EVERY_S": "0.6",
        "QUORATE_SESSION__MAX_STALL_S": str(STALL_S),
        "QUORATE_QUEUE__GRACE_S": "1",
    }


class Holder:
    """The other process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.token = 0

    async def says(self, word: str, within_s: float = 15.0) -> list[str]:
        """Its next line that begins with `word`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            while line := (await self.process.stdout.readline()).decode().split():
                if line[0] == word:
                    return line
        raise AssertionError(f"the process ended before it said {word!r}")


@pytest.fixture
async def node(private_server: Server, namespace: str) -> AsyncIterator[quorate.Node]:
    settings = load_settings(environ=environment(namespace))
    async with quorate.connect(private_server.url, settings=settings) as node:
        yield node


@pytest.fixture
async def start(
    private_server: Server, namespace: str, node: quorate.Node, tmp_path: Path
):
    script = tmp_path / "holder.py"
    script.write_text(HOLDER.replace("{env}", repr(environment(namespace))))
    started: list[Process] = []

    async def begin(stall_after: float = 0.0) -> Holder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), private_server.url, namespace,
            str(stall_after), stdout=PIPE,
        )  # fmt: skip
        started.append(process)
        holder = Holder(process)
        holder.token = int((await holder.says("token"))[1])
        await node.queue.enqueue_task("long", task_id="task-1")
        await holder.says("working")
        await node.registry.wait_for("story", lambda s: len(s.instances) == 1)
        return holder

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def all_free(node: quorate.Node, since: float) -> tuple[float, float, float, int]:
    """Seconds until the lock, the instance and the task are free; the lock's token."""

    async def lock() -> tuple[float, int]:
        async with node.locks.acquire_lock("shared", wait_s=60) as grant:
            return time.monotonic() - since, grant.token

    async def instance() -> float:
        await node.registry.wait_for("story", lambda s: not s.instances, within_s=60)
        return time.monotonic() - since

    async def task() -> float:
        while (await node.queue.stats()).depth == 0:
            await asyncio.sleep(0.02)
        return time.monotonic() - since

    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(lock()), group.create_task(instance())
        third = group.create_task(task())
    (lock_s, token), instance_s, task_s = (
        first.result(),
        second.result(),
        third.result(),
    )
    print(f"lock {lock_s:.2f} s, instance {instance_s:.2f} s, task {task_s:.2f} s")
    return lock_s, instance_s, task_s, token


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_falls_silent_loses_all_at_once(node, start, number):
    holder = await start()

    holder.process.send_signal(number)
    silent_since = time.monotonic()
    *times, token = await all_free(node, silent_since)

    # Not before the ttl has passed since its last renewal, and not after the bound.
    assert min(times) > TTL_S - 0.6 - 0.3
    assert max(times) < TTL_S + SLACK_S
    assert token > holder.token
    if number is signal.SIGSTOP:
        holder.process.send_signal(signal.SIGCONT)
        await holder.says("lost", within_s=5)


async def test_a_process_whose_loop_stands_still_is_not_renewed_for_ever(node, start):
    holder = await start(stall_after=0.5)

    *times, token = await all_free(node, time.monotonic() + 0.5)

    assert min(times) > STALL_S - 1.0
    assert max(times) < STALL_S + TTL_S + SLACK_S
    assert token > holder.token


async def test_a_process_that_leaves_gives_all_back_at_once(node, start):
    holder = await start()

    holder.process.send_signal(signal.SIGINT)
    *times, _ = await all_free(node, time.monotonic())

    # The queue's grace of 1 s for the running task comes first.
    assert max(times) < 1.0 + 1.0
