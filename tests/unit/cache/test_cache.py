import asyncio

import pytest

from quorate.cache.cache import Cache, CacheStats
from quorate.cache.policies import FirstInFirstOut
from quorate.core.errors import InvalidInput


class Loader:
    """Waits until it is let go, and counts its calls."""

    def __init__(self, value="loaded", error=None):
        self.value = value
        self.error = error
        self.calls = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self):
        self.calls += 1
        self.started.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        return self.value


@pytest.fixture
async def cache(clock):
    cache = Cache[str](max_size=3, ttl_s=60.0, clock=clock)
    yield cache
    await cache.close()


async def started(loader):
    async with asyncio.timeout(1.0):
        await loader.started.wait()


async def test_what_was_set_is_there_until_it_ages(cache, clock):
    await cache.set("a", "1")
    await cache.set("b", "2", ttl_s=5.0)

    await clock.advance(5.0)

    assert await cache.get("a") == "1"
    assert await cache.get("b") is None
    assert await cache.get("b", "nothing") == "nothing"
    await clock.advance(55.0)
    assert await cache.get("a") is None


async def test_a_policy_may_be_chosen(clock):
    cache = Cache[int](max_size=2, policy=FirstInFirstOut(), clock=clock)
    await cache.set("a", 1)
    await cache.set("b", 2)
    await cache.get("a")

    await cache.set("c", 3)

    assert await cache.get("a") is None


async def test_what_is_missing_is_loaded_and_kept(cache):
    loader = Loader()
    loader.gate.set()

    assert await cache.get_or_load("a", loader) == "loaded"
    assert await cache.get_or_load("a", loader) == "loaded"
    assert await cache.get("a") == "loaded"
    assert loader.calls == 1


async def test_what_is_loaded_has_its_own_time_if_asked(cache, clock):
    loader = Loader()
    loader.gate.set()
    await cache.get_or_load("a", loader, ttl_s=5.0)

    await clock.advance(5.0)

    assert await cache.get("a") is None


async def test_a_thousand_who_miss_at_once_cause_one_load(cache):
    loader = Loader()
    asking = [
        asyncio.ensure_future(cache.get_or_load("a", loader)) for _ in range(1000)
    ]
    await started(loader)

    loader.gate.set()
    values = await asyncio.gather(*asking)

    assert values == ["loaded"] * 1000
    assert loader.calls == 1
    assert cache.stats() == CacheStats(
        size=1,
        hits=0,
        misses=1000,
        evictions=0,
        expirations=0,
        loads=1,
        load_failures=0,
        joined=999,
    )


async def test_cancelling_the_first_caller_takes_nothing_from_the_others(cache):
    loader = Loader()
    asking = [asyncio.ensure_future(cache.get_or_load("a", loader)) for _ in range(3)]
    await started(loader)

    asking[0].cancel()
    await asyncio.wait(asking[:1], timeout=1.0)
    loader.gate.set()
    values = await asyncio.gather(*asking[1:])

    assert asking[0].cancelled()
    assert values == ["loaded"] * 2
    assert loader.calls == 1


async def test_a_load_that_everybody_left_is_kept_all_the_same(cache):
    loader = Loader()
    asking = asyncio.ensure_future(cache.get_or_load("a", loader))
    await started(loader)
    asking.cancel()
    await asyncio.wait([asking], timeout=1.0)

    loader.gate.set()

    assert await cache.get_or_load("a", loader) == "loaded"
    assert loader.calls == 1


async def test_a_failed_load_is_everybodys_error_and_is_not_kept(cache):
    loader = Loader(error=ConnectionError("away"))
    asking = [asyncio.ensure_future(cache.get_or_load("a", loader)) for _ in range(3)]
    await started(loader)
    loader.gate.set()

    errors = await asyncio.gather(*asking, return_exceptions=True)
    loader.error = None

    assert [str(error) for error in errors] == ["away"] * 3
    assert await cache.get_or_load("a", loader) == "loaded"
    assert cache.stats().loads == 2
    assert cache.stats().load_failures == 1


async def test_a_load_that_hangs_is_given_up():
    cache = Cache[str](load_timeout_s=0.01)

    async with asyncio.timeout(1.0):
        with pytest.raises(TimeoutError):
            await cache.get_or_load("a", Loader())

    assert cache.stats().load_failures == 1


async def test_keys_are_loaded_beside_each_other(cache):
    one, other = Loader("one"), Loader("other")
    other.gate.set()
    asking = asyncio.ensure_future(cache.get_or_load("a", one))
    await started(one)

    assert await cache.get_or_load("b", other) == "other"

    one.gate.set()
    assert await asking == "one"


@pytest.mark.parametrize("what", ["set", "delete", "clear"])
async def test_a_load_under_way_does_not_undo_what_was_done_meanwhile(cache, what):
    loader = Loader("old")
    asking = asyncio.ensure_future(cache.get_or_load("a", loader))
    await started(loader)

    if what == "set":
        await cache.set("a", "new")
    elif what == "delete":
        await cache.delete("a")
    else:
        await cache.clear()
    loader.gate.set()

    assert await asking == "old"
    assert await cache.get("a") == ("new" if what == "set" else None)


async def test_what_is_deleted_is_gone(cache):
    await cache.set("a", "1")

    assert await cache.delete("a")
    assert not await cache.delete("a")
    assert await cache.get("a") is None


async def test_clearing_forgets_everything(cache):
    await cache.set("a", "1")
    await cache.set("b", "2")

    await cache.clear()

    assert await cache.get("a") is None
    assert cache.stats().size == 0


async def test_the_hit_rate_is_hits_per_question(cache):
    assert cache.stats().hit_rate == 0.0
    await cache.set("a", "1")

    for key in "aaab":
        await cache.get(key)

    assert cache.stats().hit_rate == 0.75


async def test_closing_stops_loads():
    cache = Cache[str]()
    loader = Loader()
    asking = asyncio.ensure_future(cache.get_or_load("a", loader))
    await started(loader)

    await cache.close()
    await asyncio.wait([asking], timeout=1.0)

    assert asking.cancelled()


@pytest.mark.parametrize("ttl_s", [0, -1.0, float("nan")])
def test_a_cache_that_keeps_nothing_is_refused(ttl_s):
    with pytest.raises(InvalidInput, match="cannot be kept"):
        Cache(ttl_s=ttl_s)
