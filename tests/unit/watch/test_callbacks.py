import asyncio

import pytest

from quorate.core.errors import InvalidInput
from quorate.watch.callbacks import WAITING_MAX, Callbacks, CallbackStats
from quorate.watch.events import CallbackFailed, CallbackLagged


async def test_plain_and_async_callbacks_are_called_in_order():
    callbacks: Callbacks[[int]] = Callbacks("test")
    heard = []

    async def listen(number):
        await asyncio.sleep(0)
        heard.append(("async", number))

    callbacks.add(listen)
    callbacks.add(lambda number: heard.append(("plain", number)))
    for number in range(3):
        callbacks.tell(number)

    assert await callbacks.settled(within_s=1.0)
    assert [n for kind, n in heard if kind == "async"] == [0, 1, 2]
    assert [n for kind, n in heard if kind == "plain"] == [0, 1, 2]


async def test_calls_of_one_callback_never_overlap():
    callbacks: Callbacks[[int]] = Callbacks("test")
    inside = [0]
    most = [0]

    async def listen(_number):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0)
        inside[0] -= 1

    callbacks.add(listen)
    callbacks.tell(1)
    await asyncio.sleep(0)
    callbacks.tell(2)

    assert await callbacks.settled(within_s=1.0)
    assert most == [1]
    assert callbacks.stats().called == 2


async def test_one_that_raises_becomes_an_event_and_harms_nobody():
    events = []
    callbacks: Callbacks[[int]] = Callbacks("config", events.append)
    heard = []

    def break_down(_number):
        raise ValueError("no")

    callbacks.add(break_down)
    callbacks.add(heard.append)
    callbacks.tell(1)
    callbacks.tell(2)

    assert await callbacks.settled(within_s=1.0)
    assert heard == [1, 2]
    assert [type(event) for event in events] == [CallbackFailed] * 2
    assert events[0].error == "ValueError: no"
    assert "break_down" in events[0].callback
    assert callbacks.stats() == CallbackStats(2, called=4, failed=2, dropped=0)


async def test_one_that_hangs_is_cut_off():
    events = []
    callbacks: Callbacks[[]] = Callbacks("test", events.append, time_limit_s=0.01)

    async def hang():
        await asyncio.Event().wait()

    callbacks.add(hang)
    callbacks.tell()

    assert await callbacks.settled(within_s=1.0)
    assert events[0].error == "took longer than 0.01 s"


async def test_one_that_lags_loses_the_oldest_calls_and_one_event_says_so():
    events = []
    callbacks: Callbacks[[int]] = Callbacks("test", events.append)
    heard = []
    callbacks.add(heard.append)

    for number in range(WAITING_MAX + 5):
        callbacks.tell(number)

    assert await callbacks.settled(within_s=1.0)
    assert heard == list(range(5, WAITING_MAX + 5))
    assert [type(event) for event in events] == [CallbackLagged]
    assert callbacks.stats().dropped == 5


async def test_one_that_caught_up_and_lags_again_is_told_of_again():
    events = []
    callbacks: Callbacks[[int]] = Callbacks("test", events.append)
    callbacks.add(lambda _number: None)
    for _ in range(2):
        for number in range(WAITING_MAX + 1):
            callbacks.tell(number)
        await callbacks.settled(within_s=1.0)

    assert [type(event) for event in events] == [CallbackLagged] * 2


async def test_who_leaves_is_not_called_any_more():
    callbacks: Callbacks[[int]] = Callbacks("test")
    heard = []
    leave = callbacks.add(heard.append)
    callbacks.tell(1)

    leave()
    leave()
    callbacks.tell(2)

    assert await callbacks.settled(within_s=1.0)
    assert heard == []
    assert callbacks.stats().callbacks == 0


async def test_the_others_stay_when_one_leaves():
    callbacks: Callbacks[[int]] = Callbacks("test")
    gone, stays = [], []
    leave = callbacks.add(gone.append)
    callbacks.add(stays.append)
    callbacks.tell(1)
    await callbacks.settled(within_s=1.0)

    leave()
    callbacks.tell(2)

    assert await callbacks.settled(within_s=1.0)
    assert (gone, stays) == ([1], [1, 2])


async def test_stopping_ends_the_call_under_way_and_forgets_those_that_wait():
    callbacks: Callbacks[[int]] = Callbacks("test")
    started = asyncio.Event()
    heard = []

    async def listen(number):
        heard.append(number)
        if number == 1:
            started.set()
            await asyncio.Event().wait()

    callbacks.add(listen)
    callbacks.tell(1)
    callbacks.tell(2)
    async with asyncio.timeout(1.0):
        await started.wait()
        await callbacks.stop()
    callbacks.tell(3)

    assert await callbacks.settled(within_s=1.0)
    assert heard == [1, 3]


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InvalidInput, match="cannot be called"):
        Callbacks("test").add("name of a function")  # type: ignore[arg-type]
