"""A process that looks after schedules until it is killed."""

from __future__ import annotations

import asyncio
import sys

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig, Task
from quorate.queue.schedule import Schedule
from quorate.queue.timetable import Every


async def main(url: str, namespace: str, count: str) -> None:
    backend = Backend(url, namespace=namespace)
    async with backend, QueueManager(backend, QueueConfig()) as queue:
        for number in range(int(count)):
            await queue.put_schedule(
                Schedule(
                    name=f"s{number}",
                    timetable=Every(1.0),
                    task=Task(name="beat"),
                    missed="all",
                    overlap="allow",
                )
            )
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
