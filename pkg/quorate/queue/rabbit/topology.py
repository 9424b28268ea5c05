"""Which queues stand for one task queue, and what they are to be like. Pure.

A quorum queue for each lane, because what a broker makes of message priorities differs
from version to version, and one for the dead. What a lane gives up on goes there by
itself, at least once; what does not fit into a lane is refused to its producer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from quorate.queue.model import PRIORITIES, QueueConfig
from quorate.wire.keys import plain

LANE_MOST = 1_000_000
"""A lane must have a bound, or dead letters could be lost on their way."""

GIVEN_UP_AFTER = 20
"""So many returns, and the broker itself sets a task aside. Workers judge by the same
count, and sooner; this is for what kills them before they can read it."""

LONGEST_NAME = 100
ASSUMED_TIMEOUT_S = 1800.0
"""How long a broker below 3.12 lets a delivery be unacknowledged, unless told."""

OWN_TIMEOUT_S = 7 * 86_400.0
SPARE_S = 60.0
"""The broker looks once a minute; and a delivery waits a moment before it begins."""

Arguments = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Shape:
    """One queue of the broker: its name and its arguments."""

    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Topology:
    """The broker's queues for one task queue."""

    namespace: str
    queue: str
    config: QueueConfig
    version: tuple[int, ...]

    @property
    def stem(self) -> str:
        """What the names of its queues begin with."""
        return f"{self.namespace}.{short(self.queue)}"

    @property
    def lanes(self) -> tuple[Shape, Shape, Shape]:
        """By lane."""
        high, normal, low = (
            Shape(f"{self.stem}.{priority.value}", self._lane())
            for priority in PRIORITIES
        )
        return high, normal, low

    @property
    def dead(self) -> Shape:
        """Where tasks are set aside: the newest of them, if there are too many."""
        arguments: Arguments = {
            "x-queue-type": "quorum",
            "x-max-length": self.config.dead_letters_max,
        }
        if self.version >= (4, 0):
            arguments["x-delivery-limit"] = -1  # to be looked at is no failure
        return Shape(f"{self.stem}.dead", arguments)

    def _lane(self) -> Arguments:
        arguments: Arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": GIVEN_UP_AFTER,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": LANE_MOST,
        }
        if has_own_timeout(self.version):
            arguments["x-consumer-timeout"] = int(OWN_TIMEOUT_S * 1000)
        return arguments


def relay_shape(
    namespace: str, queue: str, lane: int, version: tuple[int, ...]
) -> Shape:
    """A lane that only hands over: nothing runs on it, so nothing is given up."""
    arguments: Arguments = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-max-length": LANE_MOST,
    }
    if version >= (4, 0):
        arguments["x-delivery-limit"] = -1
    name = f"{namespace}.{short(queue)}.to-redis.{PRIORITIES[lane].value}"
    return Shape(name, arguments)


def longest_attempt_s(version: tuple[int, ...]) -> float:
    """How long a task may run before the broker takes it away."""
    timeout_s = OWN_TIMEOUT_S if has_own_timeout(version) else ASSUMED_TIMEOUT_S
    return timeout_s - SPARE_S


def has_own_timeout(version: tuple[int, ...]) -> bool:
    """Can a queue say for itself how long a delivery may take?"""
    return version >= (3, 12)


def short(name: str) -> str:
    """A queue's name as part of another name. Two never become the same."""
    escaped = plain(name)
    if len(escaped) <= LONGEST_NAME:
        return escaped
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{escaped[: LONGEST_NAME - 34]}%~{digest}"
