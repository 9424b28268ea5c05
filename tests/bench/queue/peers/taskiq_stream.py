"""taskiq with its stream broker: what a dead worker had is read again by another."""

from __future__ import annotations

from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found]
from tests.bench.queue.peers import taskiq_list


class Peer(taskiq_list.Peer):
    broker_class = RedisStreamBroker
    broker_options = {"consumer_id": "0"}  # noqa: RUF012 - else what waits is not read
