"""A process that takes locks as it is told.

python -m tests.bench.locks.child '{"peer": "<module>", "url": …}'
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Coroutine
from typing import Any

from tests.bench.locks import child_loops, child_threads
from tests.bench.obeying import main
from tests.bench.spread import Spread

WARM_UP = 200


class Child:
    """One peer, and what is asked of it."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.held: list[object] = []
        self.latencies: list[float] = []
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def is_blocking(self) -> bool:
        return hasattr(self.peer, "take")

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        what = order.pop("do")
        known = getattr(self, f"do_{what}", None)
        if known is not None:
            answer: dict[str, Any] = await known(**order)
            return answer
        if self.is_blocking and hasattr(child_threads, what):
            return dict(getattr(child_threads, what)(self.peer, **order))
        loop: Coroutine[Any, Any, dict[str, Any]]
        loop = getattr(child_loops, what)(self.peer, **order)
        return await loop

    async def close(self) -> None:
        if not self.waiting and not self.held:
            await self.peer.close()

    async def do_warm_up(self) -> dict[str, Any]:
        """Scripts loaded, pools filled, code run: what is measured is the usual."""
        for _ in range(WARM_UP):
            await self.peer.release(await self.peer.acquire("warm-up"))
        if hasattr(self.peer, "bare"):
            for _ in range(WARM_UP):
                await self.peer.bare()
        return {}

    async def do_some_pairs(self, pairs: int) -> dict[str, Any]:
        for _ in range(pairs):
            await self.peer.release(await self.peer.acquire("alone"))
        return {"pairs": pairs}

    async def do_hold(self, names: list[str]) -> dict[str, Any]:
        for at in range(0, len(names), 1000):
            some = names[at : at + 1000]
            self.held += await asyncio.gather(*map(self.peer.acquire, some))
        gc.collect()
        return {"held": len(self.held)}

    async def do_let_go(self) -> dict[str, Any]:
        held, self.held = self.held, []
        for one in held:
            await self.peer.release(one)
        return {}

    async def do_wait(self, tasks: int) -> dict[str, Any]:
        """Wait for a lock that somebody holds; the answer comes before the lock."""
        if self.is_blocking:
            child_threads.wait(self.peer, tasks)
            return {}

        async def work() -> None:
            await self.peer.release(await self.peer.acquire("held"))

        self.waiting = [asyncio.ensure_future(work()) for _ in range(tasks)]
        return {}

    async def do_turn(self, hold_s: float) -> dict[str, Any]:
        """Take the lock once, whenever it is our turn."""
        held = await self.peer.acquire("held")
        await asyncio.sleep(hold_s)
        await self.peer.release(held)
        return {}

    async def do_publish(self, seconds: float) -> dict[str, Any]:
        """A message each millisecond or so, with the moment before it was sent."""
        sent, end = 0, time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            await self.peer.publish("news", repr(now))
            sent += 1
            await asyncio.sleep(0.001)
        return {"sent": sent}

    async def do_subscribe(self) -> dict[str, Any]:
        await self.peer.subscribe("news", self._hear)
        return {}

    def _hear(self, body: bytes) -> None:
        self.latencies.append(time.monotonic() - float(body))

    async def do_heard(self) -> dict[str, Any]:
        heard, self.latencies = self.latencies, []
        spread = Spread.of(heard, child_loops.US)
        return {"heard_us": child_loops.facts(spread)}

    async def do_cpu(self) -> dict[str, Any]:
        return {"cpu_s": time.process_time()}


if __name__ == "__main__":
    main(Child)
