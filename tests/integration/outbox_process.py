"""A process that enqueues without end, whatever the server does, and says what it did.

It prints the id of each task when it was told that the task is safe.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from quorate.backend import Backend
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.testing.failpoints import arm_from


async def main(url: str, namespace: str, folder: str, first: str) -> None:
    arm_from(os.environ)
    config = QueueConfig(outbox_dir=folder)
    backend = Backend(url, namespace=namespace)
    async with backend, QueueManager(backend, config) as queue:
        print("ready", flush=True)
        for number in itertools.count(int(first)):
            print(
                await queue.enqueue_task("work", number, task_id=f"t{number}"),
                flush=True,
            )
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
