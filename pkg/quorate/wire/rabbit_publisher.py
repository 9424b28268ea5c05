"""Messages in, each confirmed by the broker.

A window of messages is under way at once. What the broker has not confirmed when the
connection breaks is sent again over the next one, until the deadline: so a message may
arrive twice, and never not at all. Whoever consumes tells copies apart by their id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, cast

import aiormq
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Wire
from pamqp.commands import Basic

from quorate.core.clock import Clock
from quorate.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable

from .limits import WireLimits
from .rabbit_line import BROKEN, Line

BATCHES_AT_ONCE = 2
PATIENCE_S = 0.05
FULL = "FULL"


class Message(NamedTuple):
    """What to send where. With no exchange the key is the name of a queue."""

    key: str
    body: bytes
    properties: Basic.Properties
    exchange: str = ""


class Publisher:
    """The one channel of this process on which messages go out."""

    def __init__(self, line: Line, limits: WireLimits, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._limits = limits
        self._channel: AbstractChannel | None = None
        self._wire: Wire | None = None
        self._generation = 0
        self._opening = asyncio.Lock()
        self._window = asyncio.Semaphore(BATCHES_AT_ONCE)
        self.published = 0
        self.repeated = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when the broker has all of them, on disk on most of its nodes.

        Raises `StoreUnavailable` if none of them was sent, `OutcomeUnknown` if some
        were and not all are confirmed, `StoreRefused` if a queue is missing or full.
        """
        ends_at = self._clock.monotonic() + self._limits.timeout_s
        left, was_sent = list(messages), False
        async with self._window:
            while left:
                try:
                    wire = await self._open(ends_at)
                except StoreUnavailable as error:
                    if not was_sent:
                        raise
                    raise _unknown(len(left), error) from error
                if was_sent:
                    self.repeated += len(left)
                was_sent = True
                left, refusal = await self._try(wire, left, ends_at)
                if left and self._clock.monotonic() + PATIENCE_S >= ends_at:
                    raise refusal or _unknown(len(left), self._line.away())
        self.published += len(messages)

    async def _try(
        self, wire: Wire, messages: list[Message], ends_at: float
    ) -> tuple[list[Message], StoreRefused | None]:
        """Send them all. Returns those that are not confirmed, and why they may be.

        A queue that elects a leader refuses for a moment as a full one does for long.
        """
        sending = [_send(wire, message) for message in messages]
        try:
            async with asyncio.timeout(ends_at - self._clock.monotonic()):
                outcomes = await asyncio.gather(*sending, return_exceptions=True)
        except TimeoutError as error:
            is_well = await self._line.ready(0.0)
            cause = error if is_well else self._line.trouble()
            raise _unknown(len(messages), cause) from error
        refused = [each for each in outcomes if isinstance(each, StoreRefused)]
        for refusal in refused:
            if refusal.code != FULL:
                raise refusal
        left = [
            message
            for message, outcome in zip(messages, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        ]
        if len(refused) < len(left):
            self._channel = self._wire = None
        if left:
            await self._clock.sleep(PATIENCE_S)
        return left, refused[0] if len(refused) == len(left) and refused else None

    async def _open(self, ends_at: float) -> Wire:
        """The channel, on the connection that is open now."""
        async with self._opening:
            if not await self._line.ready(ends_at - self._clock.monotonic()):
                raise self._line.trouble()
            channel = self._channel
            is_old = self._generation != self._line.generation
            if self._wire is None or is_old or channel is None or channel.is_closed:
                generation = self._line.generation
                self._channel = await self._line.channel(confirms=True)
                self._wire = cast("Wire", await self._channel.get_underlay_channel())
                self._generation = generation
            return self._wire


async def _send(wire: Wire, message: Message) -> None:
    key, body, properties, exchange = message
    try:
        done = await wire.basic_publish(
            body,
            exchange=exchange,
            routing_key=key,
            properties=properties,
            mandatory=True,
            wait=False,
        )
    except aiormq.exceptions.PublishError as error:
        raise StoreRefused(
            f"There is no queue {key}.",
            "NO_ROUTE It was deleted while it was in use.",
            "It is made again when a queue manager opens it.",
        ) from error
    except aiormq.exceptions.DeliveryError as error:
        raise _full(key) from error
    except BROKEN as error:
        raise ConnectionError(str(error)) from error
    if isinstance(done, Basic.Nack):
        raise _full(key)


def _full(key: str) -> StoreRefused:
    return StoreRefused(
        f"RabbitMQ refuses messages for {key}.",
        f"{FULL} The queue has as many as it may have, or its majority is away.",
        "Start more workers, or look at the broker.",
    )


def _unknown(count: int, error: BaseException) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{count} message(s) may or may not have been taken by RabbitMQ.",
        str(error).splitlines()[0] if str(error) else type(error).__name__,
    )
