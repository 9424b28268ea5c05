"""Sends exchanges, one at a time, each until it is answered."""

from __future__ import annotations

from typing import Protocol

from quorate.core.errors import OutcomeUnknown, StoreError, StoreUnavailable

from .ports import Answer, Broker, Finished, Request


class Counter(Protocol):
    """Who knows what to send, and what to do with the answer."""

    async def next_request(self, exchanger: int, number: int) -> Request | None:
        """What to send now; None if there is nothing to say or to ask."""
        ...

    def take_in(self, request: Request, answer: Answer) -> float:
        """Act on an answer. Returns the seconds until the next exchange is due."""
        ...

    def cut_off(self, error: StoreError) -> float:
        """There was none. Returns the seconds until the next try."""
        ...

    def now(self) -> float:
        """The monotonic time."""
        ...

    def rest_s(self) -> float:
        """The seconds until it is worth asking again, if nothing happens."""
        ...


class Exchanger:
    """A role. The server knows it by its index and remembers its last number."""

    name = "exchanger"

    def __init__(self, broker: Broker, counter: Counter, index: int) -> None:
        self._broker = broker
        self._counter = counter
        self._index = index
        self._open: Request | None = None
        self.answered = 0
        self.took_s = 0.0

    @property
    def is_open(self) -> bool:
        """Is an answer awaited?"""
        return self._open is not None

    @property
    def unsettled(self) -> tuple[Finished, ...]:
        """What was sent as finished and is not known to be settled."""
        return self._open.finished if self._open is not None else ()

    async def tick(self) -> float:
        """One exchange. One that was not answered is sent again as it was."""
        try:
            request = self._open
            if request is None:
                request = await self._counter.next_request(
                    self._index, self.answered + 1
                )
            if request is None:
                return self._counter.rest_s()
            self._open = request
            asked_at = self._counter.now()
            answer = await self._broker.exchange(request)
            self.took_s = self._counter.now() - asked_at
        except (StoreUnavailable, OutcomeUnknown) as error:
            return self._counter.cut_off(error)
        self._open = None
        self.answered = request.number
        return self._counter.take_in(request, answer)
