"""Celery on Redis: no asyncio; processes that it forks, threads, or `solo`.

What forked processes count lies in memory that they share with this one.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from typing import Any

from celery import Celery  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload

COUNT, BEGAN, ENDED, STAMPED, CPU = range(5)
TICK_S = 0.01


class Tally:
    """What forked processes have done; a thread tells the counter of this one."""

    def __init__(self) -> None:
        self._shared = multiprocessing.get_context("fork").Array("d", 5)
        self._cpu: dict[int, float] = {}

    def note(self, _payload: Payload) -> None:
        """One call, in a forked process."""
        before, now = self._cpu.get(os.getpid(), 0.0), time.process_time()
        self._cpu[os.getpid()] = now
        with self._shared.get_lock():
            told: Any = self._shared.get_obj()
            told[COUNT] += 1
            told[CPU] += now - before
            if told[COUNT] == COUNTER.warm:
                told[BEGAN], told[CPU] = time.monotonic(), 0.0
            if not told[COUNT] % 16:
                told[ENDED], told[STAMPED] = time.monotonic(), told[COUNT]

    def watch(self) -> None:
        """Tell it, for ever."""
        COUNTER.cpu = 0.0
        while True:
            with self._shared.get_lock():
                told = list(self._shared.get_obj())
            COUNTER.count, COUNTER.began = int(told[COUNT]), told[BEGAN]
            COUNTER.ended, COUNTER.stamped = told[ENDED], int(told[STAMPED])
            COUNTER.cpu_ended = told[CPU]
            time.sleep(TICK_S)


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        self.app = Celery("bench", broker=url)
        self.app.conf.update(
            task_ignore_result=True,
            worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
        )

        self.tally = Tally() if "prefork" in options else None

        def handle(payload: dict[str, Any]) -> None:
            if self.tally is not None:
                self.tally.note(payload)
            else:
                COUNTER.note_in_thread(payload)

        self.handle = self.app.task(name="handle")(handle)

    def put(self, payload: Payload) -> object:
        return self.handle.delay(payload)

    async def work(self) -> None:
        threads = int(self.options.get("concurrency", 0))
        pool, width = ("threads", threads) if threads else ("solo", 1)
        if self.tally is not None:
            pool, width = "prefork", int(self.options["prefork"]) or os.cpu_count() or 1
            threading.Thread(target=self.tally.watch, daemon=True).start()
        worker = self.app.WorkController(
            pool_cls=pool,
            concurrency=width,
            without_heartbeat=False,
            ready_callback=None,
        )
        threading.Thread(target=worker.start, daemon=True).start()
        await asyncio.sleep(0.5)

    async def close(self) -> None:
        self.app.close()
