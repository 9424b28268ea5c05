"""A load of calls that notice when they get somebody else's answer."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Sequence

from quorate.core.clock import SystemClock
from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.wire.ports import Caller
from quorate.wire.scripts import Script

_CLOCK = SystemClock()
PAUSE_S = 0.005


def script(text: str, *, idempotent: bool = False) -> Script:
    sha = hashlib.sha1(text.encode()).hexdigest()
    return Script("test/load", text, sha, text, sha, idempotent)


COUNT_AND_ECHO = script("redis.call('INCR', KEYS[1])\nreturn ARGV[1]")


class Load:
    """`async with Load(calls, keys)`: callers in a circle until the block ends."""

    def __init__(self, calls: Caller, keys: Sequence[str], callers: int = 32) -> None:
        self._calls = calls
        self._keys = itertools.cycle(keys)
        self._callers = callers
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False
        self._news = asyncio.Event()
        self.answered = 0
        self.answered_at: list[float] = []
        self.wrong: list[tuple[str, object]] = []
        self.failures: Counter[str] = Counter()

    @property
    def longest_gap_s(self) -> float:
        """So long nobody got an answer."""
        return max((b - a for a, b in itertools.pairwise(self.answered_at)), default=0)

    async def goes_on(self, answers: int = 200, within_s: float = 15.0) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.answered + answers
        async with asyncio.timeout(within_s):
            while self.answered < wanted:
                self._news.clear()
                await self._news.wait()

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        async with asyncio.timeout(15):
            await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        while not self._over:
            word = f"word-{next(self._numbers)}"
            try:
                got = await self._calls.call(COUNT_AND_ECHO, [next(self._keys)], [word])
            except (OutcomeUnknown, StoreUnavailable) as error:
                self.failures[type(error).__name__] += 1
                await _CLOCK.sleep(PAUSE_S)
                continue
            if got != word.encode():
                self.wrong.append((word, got))
            self.answered += 1
            self.answered_at.append(time.monotonic())
            self._news.set()
            await _CLOCK.sleep(PAUSE_S)
