"""A follower looks, takes in what is new, and rests."""

from __future__ import annotations

import asyncio
import random

import pytest

from quorate.config.assembly import Assembly
from quorate.config.follower import RETRY_S, Follower, Listening
from quorate.config.model import Layer, Loaded
from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Duty, Tasks


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
    assembly = Assembly({}, heard.emit)
    return Follower(source, assembly, heard.emit, clock, random.Random(1), taken.append)


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


async def test_an_older_look_never_comes_in_after_a_newer(follower, source, taken):
    gates = [asyncio.Event(), asyncio.Event()]
    contents = [Loaded({"a": 1}, "1"), Loaded({"a": 2}, "2")]
    looks = iter(zip(gates, contents, strict=True))

    async def load() -> Loaded:
        gate, content = next(looks)
        await gate.wait()
        return content

    source.load = load
    tasks = Tasks()
    first = tasks.spawn(follower.follow(), "first")
    second = tasks.spawn(follower.follow(), "second")
    await asyncio.sleep(0)
    gates[1].set()
    await asyncio.sleep(0)
    gates[0].set()
    await first
    await second

    assert [loaded.version for loaded in taken] == ["1", "2"]
