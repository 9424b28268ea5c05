"""A follower looks, takes in what is new, and rests."""

from __future__ import annotations

import asyncio
import random

import pytest

from quorate.config.assembly import Assembly
from quorate.config.follower import RETRY_S, Follower, Listening
from quorate.config.model import Layer, Loaded
from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Duty


class Source:
    """Gives what it holds; `watch` fails while it is away."""

    name = "source"
    layer = Layer.REMOTE
    recheck_s = 60.0

    def __init__(self) -> None:
        self.loaded = Loaded({"a": 1}, "1")
        self.away = False

    async def load(self) -> Loaded:
        if self.away:
            raise StoreUnavailable("away")
        return self.loaded

    async def watch(self, changed) -> None:
        changed()
        if self.away:
            raise StoreUnavailable("away")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def taken() -> list[Loaded]:
    return []


@pytest.fixture
def follower(source, heard, clock, taken) -> Follower:
    async def take(loaded: Loaded) -> None:
        taken.append(loaded)

    assembly = Assembly({}, heard.emit)
    return Follower(source, assembly, heard.emit, clock, random.Random(1), take)


async def test_a_look_takes_in_what_is_new_and_rests_with_some_spread(
    follower, source, taken
):
    rests = [await follower.tick() for _ in range(50)]

    assert taken == [source.loaded]
    assert all(48.0 <= rest <= 72.0 for rest in rests)
    assert max(rests) - min(rests) > 5


async def test_a_source_that_is_away_is_looked_at_again_soon(follower, source, clock):
    source.away = True

    assert await follower.tick() == RETRY_S
    since = follower.failing_since
    await clock.advance(5)
    assert await follower.tick() == RETRY_S

    assert follower.failing_since == since == clock.now() - 5
    assert follower.failures == 2


async def test_listening_wakes_the_follower_and_survives_a_source_that_is_away(
    follower, source
):
    follower.duty = Duty(follower)
    listening = Listening(follower)

    assert await listening.tick() > 0
    source.away = True
    assert await listening.tick() > 0

    async with asyncio.timeout(1):
        await follower.duty.rest(follower._clock, 3600)


async def test_waking_a_follower_that_is_not_at_work_is_harmless(follower):
    follower.wake()
