"""Celery on Redis: no asyncio; its pool of threads, or `solo`.

Its own default, processes that it forks, works in other processes than this one and is
not measured.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from celery import Celery  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        self.app = Celery("bench", broker=url)
        self.app.conf.update(
            task_ignore_result=True,
            worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
        )

        def handle(payload: dict[str, Any]) -> None:
            COUNTER.note_in_thread(payload)

        self.handle = self.app.task(name="handle")(handle)

    def put(self, payload: Payload) -> object:
        return self.handle.delay(payload)

    async def work(self) -> None:
        threads = int(self.options.get("concurrency", 0))
        worker = self.app.WorkController(
            pool_cls="threads" if threads else "solo",
            concurrency=threads or 1,
            without_heartbeat=False,
            ready_callback=None,
        )
        threading.Thread(target=worker.start, daemon=True).start()
        await asyncio.sleep(0.5)

    async def close(self) -> None:
        self.app.close()
