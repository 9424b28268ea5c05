"""dramatiq on RabbitMQ: it waits for confirms only if it is told to."""

from __future__ import annotations

from typing import Any

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.rabbitmq import RabbitmqBroker  # type: ignore[import-not-found]
from tests.bench.queue.counter import COUNTER
from tests.bench.queue.peers.port import Options, Payload


class Peer:
    async def open(self, url: str, options: Options) -> None:
        self.options = dict(options)
        self.broker = RabbitmqBroker(
            url=url, confirm_delivery=bool(options.get("confirms"))
        )
        dramatiq.set_broker(self.broker)

        def handle(payload: dict[str, Any]) -> None:
            COUNTER.note_in_thread(payload)

        self.handle = dramatiq.actor(handle)

    def put(self, payload: Payload) -> object:
        return self.handle.send(payload)

    async def work(self) -> None:
        options: dict[str, Any] = {}
        if "concurrency" in self.options:
            options = {"worker_threads": int(self.options["concurrency"])}
        self.worker = dramatiq.Worker(self.broker, **options)
        self.worker.start()

    async def close(self) -> None:
        self.broker.close()
