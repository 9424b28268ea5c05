"""The current value, then every later one, to as many as want to hear.

Each subscriber has a bounded place of its own, so that a slow one holds up nobody. It
chooses what happens when it falls behind: `LATEST` keeps only the newest value, `EVERY`
keeps them all up to a limit. What it missed, it is told. One event loop, no threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Generic, TypeVar

from quorate.core.errors import InvalidInput

from .versioned import Versioned

T = TypeVar("T")

DEFAULT_LIMIT = 256


class Overflow(Enum):
    """What a subscriber gets that is slower than the news."""

    LATEST = "latest"
    EVERY = "every"


@dataclass(frozen=True, slots=True)
class Update(Generic[T]):
    """One delivery. `skipped` values lie between the delivery before and this one.

    After `skipped` > 0 compare with what you have, do not add up differences.
    """

    value: T
    version: int
    epoch: str
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class FeedStats:
    """Counts since the feed was made, and its subscribers now."""

    published: int
    refused: int
    skipped: int
    subscribers: int


class Feed(Generic[T]):
    """Fans one versioned value out to subscribers in this process."""

    def __init__(self, current: Versioned[T] | None = None) -> None:
        self._current = current
        self._subscribers: list[Subscription[T]] = []
        self._published = self._refused = self._skipped = 0
        self._closed = False

    @property
    def current(self) -> Versioned[T] | None:
        """The newest value; None before the first."""
        return self._current

    @property
    def closed(self) -> bool:
        return self._closed

    def publish(self, item: Versioned[T]) -> bool:
        """Give `item` to all subscribers. Never waits.

        False, and nobody hears of it, if it is no news (not later than the current
        one) or if the feed is closed.
        """
        if self._closed or not item.supersedes(self._current):
            self._refused += 1
            return False
        self._current = item
        self._published += 1
        for subscriber in tuple(self._subscribers):
            subscriber._put(item)
        return True

    def subscribe(
        self,
        overflow: Overflow = Overflow.LATEST,
        limit: int = DEFAULT_LIMIT,
        *,
        initial: bool = True,
    ) -> Subscription[T]:
        """Hear the current value (unless `initial=False`), then every later one.

        `limit` is how many undelivered values `EVERY` keeps. When one more comes they
        are dropped for the newest, whose `skipped` says how many they were.
        """
        if limit < 1:
            raise InvalidInput(
                f"A subscription cannot keep {limit} values.", "Give at least 1."
            )
        kept = 1 if overflow is Overflow.LATEST else limit
        subscription = Subscription(self, kept)
        if initial and self._current is not None:
            subscription._put(self._current)
        if self._closed:
            subscription._end()
        else:
            self._subscribers.append(subscription)
        return subscription

    def close(self) -> None:
        """End all subscriptions after what they still have. Twice is harmless."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber._end()
        self._subscribers.clear()

    def stats(self) -> FeedStats:
        """What went through, was refused and was skipped so far."""
        return FeedStats(
            self._published, self._refused, self._skipped, len(self._subscribers)
        )

    def _leave(self, subscription: Subscription[T]) -> None:
        if subscription in self._subscribers:
            self._subscribers.remove(subscription)

    def _count_skipped(self, values: int) -> None:
        self._skipped += values


class Subscription(AsyncIterator[Update[T]]):
    """One subscriber's place. Iterate over it; close it, best with `with`."""

    def __init__(self, feed: Feed[T], limit: int) -> None:
        self._feed = feed
        self._limit = limit
        self._waiting: deque[Versioned[T]] = deque()
        self._skipped = 0
        self._news = asyncio.Event()
        self._ended = False

    def __enter__(self) -> Subscription[T]:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> Update[T]:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item = self._waiting.popleft()
        skipped, self._skipped = self._skipped, 0
        return Update(item.value, item.version, item.epoch, skipped)

    def close(self) -> None:
        """Hear no more, and forget what is waiting."""
        self._waiting.clear()
        self._end()
        self._feed._leave(self)

    def _put(self, item: Versioned[T]) -> None:
        if len(self._waiting) >= self._limit:
            dropped = len(self._waiting)
            self._waiting.clear()
            self._skipped += dropped
            self._feed._count_skipped(dropped)
        self._waiting.append(item)
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._news.set()
