"""Tasks that are to wait, in queues of 2^0, 2^1 … 2^27 seconds. Pure.

One queue with times of its own for each message would not do: only its head expires, so
an hour blocks a second. Here all messages of a queue wait equally long. A delay is
written in binary into the routing key; a message passes from the highest level to the
lowest, waits where its bit is 1 and is led past where it is 0, and is delivered to the
lane that the rest of the key names. (The scheme is NServiceBus's.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .topology import Arguments

LEVELS = 28
LONGEST_S = 2**LEVELS - 1


@dataclass(frozen=True, slots=True)
class Level:
    """One level: who comes in by `exchange` waits in `queue`, or goes on at once."""

    exchange: str
    queue: str
    arguments: Arguments
    waits: str
    passes: str
    onward: str


def whole_seconds(delay_s: float) -> int:
    """The delay as it is kept: never shorter than asked for."""
    return min(LONGEST_S, math.ceil(delay_s)) if delay_s > 0 else 0


def levels_needed(seconds: int) -> int:
    """How many levels, from the lowest, such a delay needs."""
    return seconds.bit_length()


def delivery_exchange(namespace: str) -> str:
    """Where a message arrives whose time has come."""
    return f"{namespace}.delay.over"


def entry(namespace: str, seconds: int) -> str:
    """The exchange that takes in a message with this delay."""
    return level(namespace, levels_needed(seconds) - 1).exchange


def routing_key(seconds: int, lane: str) -> str:
    """All bits, the highest first, and then the lane."""
    bits = format(seconds, f"0{LEVELS}b")
    return f"{'.'.join(bits)}.{lane}"


def lane_pattern(lane: str) -> str:
    """What a lane listens for at the delivery exchange."""
    return f"{'*.' * LEVELS}{lane}"


def level(namespace: str, index: int) -> Level:
    """The level of 2^index seconds."""
    onward = (
        delivery_exchange(namespace)
        if index == 0
        else f"{namespace}.delay.{index - 1:02}"
    )
    name = f"{namespace}.delay.{index:02}"
    skipped = "*." * (LEVELS - 1 - index)
    return Level(
        exchange=name,
        queue=name,
        arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": 2**index * 1000,
            "x-dead-letter-exchange": onward,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
        waits=f"{skipped}1.#",
        passes=f"{skipped}0.#",
        onward=onward,
    )
