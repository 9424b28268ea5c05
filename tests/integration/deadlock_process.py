"""A process that takes one lock and then asks for another inside it.

It is told "take <name>", then "ask <name>", and tells what came of each as a line of
JSON; then it gives both back and can be told again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from quorate.backend import Backend
from quorate.core.errors import DeadlockError
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig


def tell(what: str, **facts: object) -> None:
    sys.stdout.write(json.dumps({"event": what, **facts}) + "\n")
    sys.stdout.flush()


async def obey(locks: LockManager, orders: asyncio.StreamReader) -> None:
    while order := (await orders.readline()).decode().split():
        first = order[1]
        async with locks.acquire_lock(first, label=f"first {first}"):
            tell("inside")
            await ask(locks, (await orders.readline()).decode().split()[1])


async def ask(locks: LockManager, name: str) -> None:
    before = time.monotonic()
    try:
        async with locks.acquire_lock(name, label=f"then {name}"):
            tell("done", found=False)
    except DeadlockError as error:
        after_s = time.monotonic() - before
        tell("done", found=True, after_s=after_s, why=str(error))


async def main(url: str, namespace: str, timeout_s: str) -> None:
    async with Backend(url, namespace=namespace) as backend:
        config = LockConfig(deadlock_timeout_s=float(timeout_s))
        locks = LockManager.over(backend.wire, backend.session, config)
        await locks.start()
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
        )
        tell("ready")
        await obey(locks, orders)
        await locks.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
