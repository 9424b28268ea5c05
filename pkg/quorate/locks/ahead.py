"""Standing in the server's line again while this process still holds the lock.

A process that holds a lock for long, with tasks of its own waiting, must not come
behind every other process that asks meanwhile. Once its time for passing the lock on is
over, it takes a place in the line for the next of its tasks.
"""

from __future__ import annotations

import asyncio

from quorate.core.errors import QuorateError

from .bid import Attempt, Bid, Parts
from .cohort import Gate
from .waiting import Bids


class Ahead:
    """Takes places ahead of time, one a gate."""

    def __init__(self, parts: Parts, bids: Bids) -> None:
        self._parts = parts
        self._bids = bids

    def plan(self, gate: Gate) -> None:
        """If the lock is held here and somebody waits here, take a place in time."""
        hold = gate.hold
        if hold is None or gate.is_ahead or gate.first() is None:
            return
        due = hold.began_at + self._parts.config.passing_s
        gate.timer = asyncio.get_running_loop().call_later(
            max(0.0, due - self._parts.now()), self._send, gate
        )

    def end(self, gate: Gate) -> Bid | None:
        """The hold is over, or nobody waits: the place, if there is one by now."""
        if gate.timer is not None:
            gate.timer.cancel()
        if gate.asking is not None:
            gate.asking.cancel()
        bid, gate.bid = gate.bid, None
        gate.timer = gate.asking = None
        return bid

    def _send(self, gate: Gate) -> None:
        gate.timer = None
        place = gate.first()
        if place is not None:
            gate.asking = self._parts.tasks.spawn(
                self._ask(gate, place.attempt), "ask for a lock ahead of time"
            )

    async def _ask(self, gate: Gate, attempt: Attempt) -> None:
        try:
            gate.bid = await self._bids.ask(attempt)
        except QuorateError:
            return  # whoever is next asks for itself, and hears of what is wrong
        finally:
            if gate.asking is asyncio.current_task():
                gate.asking = None
