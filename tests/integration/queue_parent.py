"""A script with workers, for the story in which the supervisor itself is killed.

Run by its path, so that its handler lives in `__main__`: the workers load the script
under another name, and what stands under the last `if` must not run there again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from quorate.backend import Backend
from quorate.lease.lease import LeaseTerms
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig


async def whoami(_payload: None) -> list[object]:
    await asyncio.sleep(0.01)
    return [__name__, os.getpid()]


async def main(url: str, namespace: str) -> None:
    terms = LeaseTerms(ttl_s=1.5, renew_every_s=0.4, retry_every_s=0.1)
    async with (
        Backend(url, namespace=namespace, terms=terms) as backend,
        QueueManager(backend, QueueConfig(grace_s=0.5)) as queue,
    ):
        await queue.register_task_handler("whoami", whoami)
        await queue.start_workers(2)
        told = await queue.result(await queue.enqueue_task("whoami"))
        print(json.dumps({"told": told, "pids": queue.worker_pids}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
