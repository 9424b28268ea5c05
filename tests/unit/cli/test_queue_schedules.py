"""`quorate queue schedules`, over a server in this process."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from quorate.backend import Backend
from quorate.cli.main import app
from quorate.queue.manager import QueueManager
from quorate.queue.model import Task
from quorate.wire.memory import open_memory


@pytest.fixture
def quorate(namespace: str):
    """The command; between two of them the server stays."""
    url = f"memory://{namespace}"

    async def put_down() -> None:
        async with Backend(url) as backend, QueueManager(backend) as queue:
            task = Task(name="tidy")
            await queue.cron("nightly", "30 2 * * *", task=task, zone="Europe/Berlin")
            await queue.every("beat", 60.0, task=task)
            await queue.every("sum up", 60.0, task=Task(name="report", queue="reports"))
            async with asyncio.timeout(10):
                while "reports" not in await queue.place("default").crew.queues():
                    await asyncio.sleep(0.001)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(open_memory(url))
    loop.run_until_complete(put_down())

    def run(*words: str) -> Result:
        words = ("--url", url, *words)
        return CliRunner().invoke(app, words)

    yield run
    loop.run_until_complete(server.close())
    loop.close()


def test_they_are_listed_with_what_came_of_them(quorate):
    found = json.loads(quorate("--json", "queue", "schedules").output)

    assert [(each["schedule"], each["when"], each["is"]) for each in found] == [
        ("beat", "every 60 s", "at work"),
        ("nightly", "30 2 * * * Europe/Berlin", "at work"),
        ("sum up", "every 60 s", "at work"),
    ]
    assert [each["queue"] for each in found] == ["default", "default", "reports"]
    assert [each["fired"] for each in found] == [0, 0, 0]
    assert quorate("queue", "schedules").exit_code == 0


def test_they_are_paused_resumed_and_removed(quorate):
    def states() -> list[str]:
        words = ("--json", "queue", "schedules", "--queue", "default")
        found = json.loads(quorate(*words).output)
        return [each["is"] for each in found]

    assert quorate("queue", "schedules", "pause", "nightly").exit_code == 0
    assert states() == ["at work", "paused"]
    assert quorate("queue", "schedules", "resume", "nightly").exit_code == 0
    assert states() == ["at work", "at work"]
    assert quorate("queue", "schedules", "rm", "nightly").exit_code == 0
    assert states() == ["at work"]
    assert quorate("queue", "schedules", "rm", "nightly").exit_code == 1
