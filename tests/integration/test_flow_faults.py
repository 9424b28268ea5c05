"""Chains and groups whose workers are killed: every step is done, each in its turn."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.integration import queue_handlers as handlers
from tests.integration.test_queue_faults import CONFIG, a_queue
from tests.servers import Server

from quorate.core.clock import Chance
from quorate.queue.model import Task
from quorate.testing.heard import Heard
from quorate.testing.history import read_history

WITHIN_S = 30.0


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "history"
    folder.mkdir()
    monkeypatch.setenv(handlers.HISTORY, str(folder))
    handlers.recorder.cache_clear()
    return folder


def a_step() -> Task:
    return Task(name="note", payload={"work_s": 0.02})


async def test_kill_9_of_workers_breaks_no_chain_and_no_group(
    private_server: Server, heard: Heard, history: Path
) -> None:
    chance = Chance(7)
    async with a_queue(private_server.url, heard, CONFIG) as queue:
        chains = [await queue.chain([a_step() for _ in range(4)]) for _ in range(15)]
        groups = [
            await queue.group(
                [[a_step(), a_step()], *(a_step() for _ in range(4))], collect=a_step()
            )
            for _ in range(5)
        ]
        await queue.start_workers(2)
        for _ in range(2):
            await asyncio.sleep(0.15)
            os.kill(chance.choice(queue.worker_pids), signal.SIGKILL)

        for flow in (*chains, *groups):
            await flow.result(wait_s=WITHIN_S)

    done = [op for op in read_history(history).of("complete") if op.is_known]
    first = {}
    for operation in sorted(done, key=lambda op: op.returned_ns):
        first.setdefault(operation.args["id"], operation.returned_ns)
    assert set(first) == {task for flow in (*chains, *groups) for task in flow.ids}
    for chain in chains:
        ends = [first[task] for task in chain.ids]
        assert ends == sorted(ends)
    for group in groups:
        *members, last = (first[task] for task in group.ids)
        assert last > max(members)
