"""One lane's consumer: what the broker has sent waits here until there is room for it.

The broker sends as much as the prefetch allows, and counts what is acknowledged. A tap
is open while there is work to ask for; it is closed by cancelling the consumer, which
leaves what is already here to be settled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as Wire
from aiormq.abc import DeliveredMessage

from quorate.core.clock import Clock
from quorate.core.errors import StoreUnavailable
from quorate.wire.rabbit_line import BROKEN, Line

from .letters import Letter, read

ANSWER_WITHIN_S = 5.0
FIRST_REST_S = 0.5
LONGEST_REST_S = 60.0


class Tap:
    """One queue of the broker, as a source of letters."""

    def __init__(
        self,
        lane: int,
        name: str,
        prefetch: int,
        clock: Clock,
        arrived: Callable[[], None],
    ) -> None:
        self.lane = lane
        self.name = name
        self.letters: deque[Letter] = deque()
        self.on_broken: Callable[[BaseException | None], None] = lambda _: None
        self._prefetch = prefetch
        self._clock = clock
        self._arrived = arrived
        self._channel: AbstractChannel | None = None
        self._wire: Wire | None = None
        self._consumer = ""
        self._former: list[AbstractChannel] = []
        self._former_wires: set[Wire] = set()
        self._unsettled = 0
        self._opening = asyncio.Lock()
        self._settling: set[asyncio.Timeout] = set()
        self._failures = 0
        self.closed_until = 0.0
        self.last_at = 0.0

    @property
    def is_open(self) -> bool:
        """Does the broker send?"""
        return bool(self._consumer)

    @property
    def has_room(self) -> bool:
        """Would the broker send more, if it had any?"""
        return self.is_open and self._unsettled < self._prefetch

    async def open(self, line: Line) -> None:
        """Let the broker send. Raises `StoreUnavailable`; then it rests for a while."""
        async with self._opening:
            if not self.is_open and self._clock.monotonic() >= self.closed_until:
                await self._open(line)

    async def _open(self, line: Line) -> None:
        if self._wire is None:
            channel = await line.channel()
            self._unsettled = 0
            channel.close_callbacks.add(self._channel_closed)
            self._channel, self._wire = channel, await channel.get_underlay_channel()
            self._wire.on_consumer_cancel_callbacks.add(self._cancelled)
        wire = self._wire
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await wire.basic_qos(prefetch_count=self._prefetch)
                answer = await wire.basic_consume(self.name, self._came)
        except BROKEN as error:
            await self._give_up_opening()
            raise line.away(error) from error
        if wire is not self._wire:  # it was given up meanwhile
            raise line.away()
        self._failures = 0
        self._consumer = answer.consumer_tag or ""
        self.last_at = self._clock.monotonic()

    async def _give_up_opening(self) -> None:
        """A queue that does not answer costs its own channel, not the other lanes."""
        self._failures += 1
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self._failures, 8))
        self.closed_until = self._clock.monotonic() + rest_s
        channel, self._channel, self._wire = self._channel, None, None
        if channel is not None and not channel.is_closed:
            await _close(channel)

    async def shut(self) -> None:
        """Let the broker send no more. What has come stays here."""
        consumer, self._consumer = self._consumer, ""
        if not consumer or self._wire is None:
            return
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._wire.basic_cancel(consumer)
        except BROKEN as error:
            raise StoreUnavailable(
                "RabbitMQ cannot be reached.", f"{type(error).__name__}: {error}"
            ) from error

    async def told(self) -> None:
        """Wait until the broker has heard every acknowledgement sent so far."""
        if self._wire is None:
            return
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._wire.basic_qos(prefetch_count=self._prefetch)
        except BROKEN as error:
            raise StoreUnavailable(
                "RabbitMQ cannot be reached.", f"{type(error).__name__}: {error}"
            ) from error

    def start_anew(self) -> None:
        """The next time it is opened, it is over a new channel.

        The broker may have lost its way in the old one. What came over that one can
        still be acknowledged there.
        """
        self._consumer = ""
        if self._channel is not None and self._wire is not None:
            self._former.append(self._channel)
            self._former_wires.add(self._wire)
        self._channel = self._wire = None

    async def close(self) -> None:
        """Give the channels up; what is not acknowledged goes back by itself."""
        self.start_anew()
        former, self._former = self._former, []
        self._former_wires.clear()
        self._end_settling()
        self.letters.clear()
        for channel in former:
            await _close(channel)

    def knows(self, letter: Letter) -> bool:
        """Is the channel that it came through still there?"""
        wire = letter.message.channel
        return wire is self._wire or wire in self._former_wires

    async def settle(self, letter: Letter) -> bool:
        """Acknowledge it; False if the channel that it came through is gone.

        A connection that breaks takes no more than a few acknowledgements, and says
        nothing of it: whoever waits to add one would wait for ever.
        """
        wire, tag = letter.message.channel, letter.message.delivery_tag
        if not self.knows(letter) or tag is None:
            return False
        self._unsettled -= 1
        deadline = asyncio.timeout(ANSWER_WITHIN_S)
        try:
            async with deadline:
                self._settling.add(deadline)
                await wire.basic_ack(tag, wait=False)
        except BROKEN as error:
            if deadline.expired() and self.knows(letter):
                self.on_broken(error)
            return False
        finally:
            self._settling.discard(deadline)
        return True

    def _end_settling(self) -> None:
        """Whoever waits to acknowledge over a channel that is gone waits no longer."""
        now = asyncio.get_running_loop().time()
        for deadline in tuple(self._settling):
            if not deadline.expired():
                deadline.reschedule(now)

    async def _came(self, message: DeliveredMessage) -> None:
        if message.channel is not self._wire:
            return
        self.last_at = self._clock.monotonic()
        self._unsettled += 1
        self.letters.append(read(message, self.lane, self.last_at))
        self._arrived()

    def _cancelled(self, _frame: object) -> None:
        """The broker has taken the consumer away: the queue is gone, or has moved."""
        self.start_anew()
        self._arrived()

    def _channel_closed(self, channel: object, error: BaseException | None) -> None:
        if channel is not self._channel and channel not in self._former:
            return
        self._channel = self._wire = None
        self._former.clear()
        self._former_wires.clear()
        self._consumer = ""
        self._end_settling()
        self.on_broken(error)


async def _close(channel: AbstractChannel) -> None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await channel.close()
    except BROKEN:
        return
