import asyncio

import pytest

from quorate.core.errors import InvalidInput
from quorate.watch.feed import Feed, FeedStats, Overflow, Update
from quorate.watch.versioned import Versioned


def publish(feed, *versions):
    for version in versions:
        feed.publish(Versioned(f"v{version}", version))


async def read(subscription):
    async with asyncio.timeout(1.0):
        return await anext(subscription)


async def test_the_current_value_comes_first():
    feed = Feed(Versioned("v3", 3))

    with feed.subscribe() as updates:
        assert await read(updates) == Update("v3", 3, "")


async def test_without_initial_only_later_values_come():
    feed = Feed(Versioned("v3", 3))

    with feed.subscribe(initial=False) as updates:
        publish(feed, 4)
        assert (await read(updates)).value == "v4"


async def test_a_waiting_subscriber_is_woken():
    feed = Feed()
    with feed.subscribe() as updates:
        waiting = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)

        publish(feed, 1)

        async with asyncio.timeout(1.0):
            assert (await waiting).value == "v1"


async def test_a_subscriber_that_has_read_everything_waits_again():
    feed = Feed(Versioned("v1", 1))
    with feed.subscribe(Overflow.EVERY, limit=1) as updates:
        await read(updates)
        waiting = asyncio.ensure_future(anext(updates))
        for _ in range(5):
            await asyncio.sleep(0)
        was_waiting = not waiting.done()

        publish(feed, 2)

        assert was_waiting
        assert (await waiting).value == "v2"


async def test_latest_keeps_only_the_newest_and_tells_what_was_skipped():
    feed = Feed()
    with feed.subscribe(Overflow.LATEST) as updates:
        publish(feed, 1, 2, 3, 4)

        assert await read(updates) == Update("v4", 4, "", skipped=3)
        publish(feed, 5)
        assert await read(updates) == Update("v5", 5, "", skipped=0)


async def test_every_delivers_all_in_order():
    feed = Feed()
    with feed.subscribe(Overflow.EVERY) as updates:
        publish(feed, *range(1, 101))

        versions = [(await read(updates)).version for _ in range(100)]

    assert versions == list(range(1, 101))


async def test_every_that_lags_past_its_limit_is_told_and_goes_on_from_the_newest():
    feed = Feed()
    with feed.subscribe(Overflow.EVERY, limit=3) as updates:
        publish(feed, 1, 2, 3, 4, 5)

        assert await read(updates) == Update("v4", 4, "", skipped=3)
        assert await read(updates) == Update("v5", 5, "", skipped=0)


async def test_a_slow_subscriber_holds_up_nobody():
    feed = Feed()
    with feed.subscribe(), feed.subscribe(Overflow.EVERY) as quick:
        publish(feed, 1, 2)

        assert [(await read(quick)).version for _ in range(2)] == [1, 2]


async def test_what_is_no_news_reaches_nobody():
    feed = Feed(Versioned("v5", 5))
    with feed.subscribe(Overflow.EVERY, initial=False) as updates:
        assert not feed.publish(Versioned("old", 5))
        assert not feed.publish(Versioned("older", 1))
        assert feed.publish(Versioned("v6", 6))

        assert (await read(updates)).value == "v6"
    assert feed.current == Versioned("v6", 6)


async def test_a_new_epoch_may_begin_with_a_lower_version():
    feed = Feed(Versioned("old", 50, "a"))

    assert feed.publish(Versioned("new", 1, "b"))

    with feed.subscribe() as updates:
        assert await read(updates) == Update("new", 1, "b")


async def test_closing_the_feed_ends_the_iteration_after_what_is_waiting():
    feed = Feed()
    updates = feed.subscribe(Overflow.EVERY)
    publish(feed, 1, 2)

    feed.close()
    feed.close()

    assert [update.version async for update in updates] == [1, 2]
    assert feed.closed
    assert feed.stats().subscribers == 0
    assert not feed.publish(Versioned("late", 9))


async def test_closing_the_feed_wakes_who_waits():
    feed = Feed()
    updates = feed.subscribe()
    waiting = asyncio.ensure_future(anext(updates, "over"))
    await asyncio.sleep(0)

    feed.close()

    async with asyncio.timeout(1.0):
        assert await waiting == "over"


async def test_a_closed_feed_still_tells_its_last_value():
    feed = Feed(Versioned("v3", 3))
    feed.close()

    assert [update.value async for update in feed.subscribe()] == ["v3"]


async def test_a_subscriber_that_leaves_hears_no_more():
    feed = Feed()
    with feed.subscribe() as updates:
        publish(feed, 1)
    publish(feed, 2)

    assert [update async for update in updates] == []
    assert feed.stats().subscribers == 0


async def test_a_cancelled_reader_loses_nothing():
    feed = Feed()
    with feed.subscribe(Overflow.EVERY) as updates:
        waiting = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)
        publish(feed, 1)

        waiting.cancel()
        await asyncio.wait([waiting], timeout=1.0)

        assert (await read(updates)).version == 1


async def test_statistics_count_what_went_through():
    feed = Feed()
    with feed.subscribe():
        publish(feed, 1, 2, 2)

        assert feed.stats() == FeedStats(
            published=2, refused=1, skipped=1, subscribers=1
        )


def test_a_subscription_that_keeps_nothing_is_refused():
    with pytest.raises(InvalidInput, match="cannot keep 0"):
        Feed().subscribe(Overflow.EVERY, limit=0)
