"""A process that puts tasks in, or works on them, as it is told.

python -m tests.bench.queue.child '{"peer": "<module>", "url": …}'
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.obeying import main
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import PAYLOAD
from tests.bench.spread import Spread

US, MS = 1e6, 1e3
AT_ONCE = 64
IN_BULK = 100
WARM_UP = 100
_now = time.monotonic


class Child:
    """One peer, and what is asked of it."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.is_working = False

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(self, f"do_{order.pop('do')}")(**order)
        return answer

    async def close(self) -> None:
        if self.is_working:
            # Libraries differ in how long their workers take to end; nobody waits.
            os._exit(0)
        await self.peer.close()

    # -- tasks in --------------------------------------------------------------------

    async def do_fill(self, tasks: int) -> dict[str, Any]:
        """Put so many in, the quickest way."""
        if hasattr(self.peer, "enqueue_many"):
            for start in range(0, tasks, 1000):
                some = [dict(PAYLOAD) for _ in range(min(1000, tasks - start))]
                await self.peer.enqueue_many(some)
        elif hasattr(self.peer, "put"):
            for _ in range(tasks):
                self.peer.put(PAYLOAD)
        else:
            for start in range(0, tasks, AT_ONCE):
                some = [PAYLOAD] * min(AT_ONCE, tasks - start)
                await asyncio.gather(*map(self.peer.enqueue, some))
        return {}

    async def do_singly(self, seconds: float) -> dict[str, Any]:
        """One after the other, each awaited."""
        if hasattr(self.peer, "put"):

            async def one() -> int:
                self.peer.put(PAYLOAD)
                return 1
        else:

            async def one() -> int:
                await self.peer.enqueue(PAYLOAD)
                return 1

        return await _rate(one, seconds)

    async def do_at_once(self, seconds: float) -> dict[str, Any]:
        """64 tasks of asyncio at once."""

        async def some() -> int:
            await asyncio.gather(*(self.peer.enqueue(PAYLOAD) for _ in range(AT_ONCE)))
            return AT_ONCE

        return await _rate(some, seconds)

    async def do_bulk(self, seconds: float, calls: int) -> dict[str, Any]:
        """A hundred a call, so many calls at once."""

        async def some() -> int:
            batches = ([PAYLOAD] * IN_BULK for _ in range(calls))
            await asyncio.gather(*map(self.peer.enqueue_many, batches))
            return IN_BULK * calls

        return await _rate(some, seconds)

    async def do_drip(self, tasks: int, every_s: float) -> dict[str, Any]:
        """One now and then, with the moment at which it was put in."""
        for _ in range(tasks):
            payload = {**PAYLOAD, "at": _now()}
            if hasattr(self.peer, "put"):
                self.peer.put(payload)
            else:
                await self.peer.enqueue(payload)
            await asyncio.sleep(every_s)
        return {}

    async def do_warm_up(self) -> dict[str, Any]:
        """Put a few in, so that what is measured is the usual."""
        return await self.do_fill(WARM_UP)

    # -- tasks out -------------------------------------------------------------------

    async def do_work(self, warm: int = 0, burn_s: float = 0.0) -> dict[str, Any]:
        """Begin to work; the first `warm` tasks are not timed.

        Each keeps the processor busy for `burn_s`.
        """
        COUNTER.reset(warm)
        COUNTER.burn_s = burn_s
        self.is_working = True
        gc.collect()
        gc.freeze()
        await self.peer.work()
        return {}

    async def do_count(self) -> dict[str, Any]:
        return {"count": COUNTER.count}

    async def do_timed(self) -> dict[str, Any]:
        """From the first task that counts to the last one."""
        return {
            "tasks": COUNTER.stamped - COUNTER.warm,
            "began": COUNTER.began,
            "ended": COUNTER.ended,
            "cpu_s": COUNTER.cpu_ended - COUNTER.cpu,
        }

    async def do_forget(self) -> dict[str, Any]:
        """What was done until now does not count."""
        COUNTER.reset(0)
        return {}

    async def do_late(self) -> dict[str, Any]:
        """How long tasks took from being put in to their handler."""
        spread = Spread.of(COUNTER.late, MS)
        return {
            "pickup_ms": {
                "n": spread.n,
                "p50": round(spread.p50, 3),
                "p99": round(spread.p99, 3),
                "max": round(spread.max, 3),
            }
        }


async def _rate(some: Callable[[], Awaitable[int]], seconds: float) -> dict[str, Any]:
    count = 0
    began, cpu = _now(), time.process_time()
    end = began + seconds
    while _now() < end:
        count += await some()
    took, cpu = _now() - began, time.process_time() - cpu
    return {"per_s": count / took, "n": count, "client_cpu_us": cpu / count * US}


if __name__ == "__main__":
    main(Child)
