"""Readers of one process that enter under one claim on the server.

Who wants to read what a task of this process reads already joins it, without a request;
who asks in the same moment waits for the one answer. Only for a moment after the claim
was granted, so that a writer elsewhere never waits for a chain of readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from .bid import Attempt, Parts
from .hold import Hold
from .holdings import Holdings

JOIN_S = 0.02


class Readers:
    """Who of this process asks for, and who holds, what others here may join."""

    def __init__(self, parts: Parts, holdings: Holdings) -> None:
        self._parts = parts
        self._holdings = holdings
        self._asking: dict[str, list[asyncio.Future[None]]] = {}
        self._window_s = min(JOIN_S, parts.config.passing_s)

    async def obtain(self, attempt: Attempt, lead: Coroutine[None, None, Hold]) -> Hold:
        """A hold that others are inside already, or that of `lead`, who asks."""
        name = attempt.wish.name
        try:
            hold = self._open(name)
            others = self._asking.get(name)
            if hold is None and others is not None and not attempt.wish.is_try:
                others.append(heard := asyncio.get_running_loop().create_future())
                await heard
                hold = self._open(name)
        except BaseException:
            lead.close()
            raise
        if hold is not None:
            lead.close()
            return hold
        if name in self._asking or not self._window_s:
            return await lead
        self._asking[name] = []
        attempt.asks_for_others = True
        try:
            return await lead
        finally:
            self.answered(attempt)

    def answered(self, attempt: Attempt) -> None:
        """Who asked for others has an answer, or none: they look, right after it."""
        if attempt.asks_for_others:
            attempt.asks_for_others = False
            for heard in self._asking.pop(attempt.wish.name):
                if not heard.done():
                    heard.set_result(None)

    def _open(self, name: str) -> Hold | None:
        """What may be joined now."""
        hold = self._holdings.reader(name)
        if hold is None:
            return None
        now = self._parts.now()
        is_open = (
            hold.shared
            and hold.entries > 0
            and not hold.is_closed
            and hold.wish.may_join
            and now - hold.began_at < self._window_s
            and hold.left_s(now) > 0.0
        )
        return hold if is_open else None
