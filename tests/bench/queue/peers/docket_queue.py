"""docket (pydocket)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from docket import Docket, Worker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options


async def handle(payload: dict[str, Any]) -> None:
    COUNTER.note(payload)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        more: dict[str, Any] = {}
        if "concurrency" in options:
            more = {"execution_ttl": timedelta(0)}
        self.docket = Docket(name="bench", url=url, **more)
        await self.docket.__aenter__()
        self.docket.register(handle)

    async def enqueue(self, payload: dict[str, Any]) -> object:
        return await self.docket.add(handle)(payload)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> object:
        calls = [self.docket.call(handle)(payload) for payload in payloads]
        return await self.docket.add_many(calls)

    async def work(self) -> None:
        options: dict[str, Any] = {}
        if "concurrency" in self.options:
            options = {
                "concurrency": int(self.options["concurrency"]),
                "minimum_check_interval": timedelta(seconds=self.options["poll_s"]),
            }
        self.worker = Worker(self.docket, **options)
        await self.worker.__aenter__()
        self.working = asyncio.ensure_future(self.worker.run_forever())

    async def close(self) -> None:
        await self.docket.__aexit__(None, None, None)
