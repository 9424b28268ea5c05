"""Questions to the broker, each over a channel of its own.

What the broker refuses costs the channel; so nobody else's work is on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import aiormq
from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as UnderlayChannel

from quorate.core.errors import StoreRefused
from quorate.core.lifecycle import to_the_end
from quorate.wire.rabbit import RabbitWire
from quorate.wire.rabbit_line import BROKEN

from .topology import Shape

T = TypeVar("T")
Wire: TypeAlias = UnderlayChannel
"""What a question is put to."""

QUESTION_S = 15.0
LEAVE_S = 5.0


async def ask(
    server: RabbitWire,
    question: Callable[[Wire], Awaitable[T]],
    queue: str,
    within_s: float = QUESTION_S,
) -> T:
    """Let `question` about a task queue use a channel. Raises `StoreError`."""
    line = server.publishing
    if not await line.ready(server.limits.timeout_s):
        raise line.trouble()
    channel = await line.channel()
    try:
        async with asyncio.timeout(within_s):
            answer = await question(await channel.get_underlay_channel())
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        raise StoreRefused(
            f"A queue of {queue!r} exists and is of another kind.",
            f"PRECONDITION_FAILED {error}",
            "dead_letters_max is fixed when a queue is made. Set it as it was, or "
            "delete the queues when they are empty.",
        ) from error
    except aiormq.exceptions.AMQPChannelError as error:
        # The broker has closed the channel itself: closing it again would cost the
        # connection.
        raise line.away(error) from error
    except BROKEN as error:
        await _leave(channel)
        raise line.away(error) from error
    except BaseException:
        await to_the_end(_leave(channel), "close channel")
        raise
    await _leave(channel)
    return answer


async def declare(wire: Wire, shape: Shape) -> None:
    """The queue is there, and is of this kind."""
    await wire.queue_declare(shape.name, durable=True, arguments={**shape.arguments})


async def _leave(channel: AbstractChannel) -> None:
    try:
        async with asyncio.timeout(LEAVE_S):
            await channel.close()
    except BROKEN:
        return
