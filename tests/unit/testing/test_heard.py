"""A test waits for a fact, hears it once, and is told what came instead."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import pytest

from quorate.core.events import Event
from quorate.testing.heard import Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class KettleBoiled(Event):
    kettle: str
    litres: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TeaServed(Event):
    guest: str


async def test_an_event_that_has_come_is_heard_at_once(heard: Heard) -> None:
    heard.emit(KettleBoiled(kettle="red"))

    assert (await heard(KettleBoiled, within_s=0)).kettle == "red"


async def test_an_event_that_is_to_come_is_waited_for(heard: Heard) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, heard.emit, TeaServed(guest="Ada"))

    assert (await heard(TeaServed)).guest == "Ada"


async def test_an_event_from_another_thread_is_heard_at_once(heard: Heard) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    teller = threading.Timer(0.01, heard.emit, (TeaServed(guest="Ada"),))
    teller.start()

    assert (await heard(TeaServed, within_s=3)).guest == "Ada"
    assert loop.time() - began < 2
    teller.join()


async def test_an_event_is_given_out_once(heard: Heard) -> None:
    heard.emit(KettleBoiled(kettle="red"))
    heard.emit(KettleBoiled(kettle="blue"))

    first = await heard(KettleBoiled)
    second = await heard(KettleBoiled)

    assert [first.kettle, second.kettle] == ["red", "blue"]
    with pytest.raises(AssertionError):
        await heard(KettleBoiled, within_s=0.01)


async def test_only_the_facts_that_were_asked_for_count(heard: Heard) -> None:
    heard.emit(KettleBoiled(kettle="red", litres=0.5))
    heard.emit(KettleBoiled(kettle="blue", litres=2.0))

    assert (await heard(KettleBoiled, litres=lambda x: x > 1)).kettle == "blue"
    assert (await heard(KettleBoiled, kettle="red")).litres == 0.5


async def test_a_fact_that_does_not_come_is_an_error_that_tells_what_did(
    heard: Heard,
) -> None:
    heard.emit(TeaServed(guest="Grace"))

    with pytest.raises(AssertionError) as caught:
        await heard(TeaServed, within_s=0.01, guest="Ada")

    assert "TeaServed(guest='Ada') was not heard within 0.01 s" in str(caught.value)
    assert "TeaServed(guest='Grace')" in str(caught.value)


async def test_silence_is_told_too(heard: Heard) -> None:
    with pytest.raises(AssertionError, match="nothing at all"):
        await heard(TeaServed, within_s=0)


async def test_a_misspelt_fact_is_refused_instead_of_waited_for(heard: Heard) -> None:
    with pytest.raises(TypeError, match="has no gest"):
        await heard(TeaServed, gest="Ada")


async def test_all_and_count_see_every_event(heard: Heard) -> None:
    for guest in ("Ada", "Grace", "Ada"):
        heard.emit(TeaServed(guest=guest))
    await heard(TeaServed)

    assert heard.count(TeaServed) == 3
    assert heard.all(TeaServed, guest="Ada") == [TeaServed(guest="Ada")] * 2
    heard.clear()
    assert heard.count(TeaServed) == 0


def test_an_event_after_the_loop_of_a_waiter_has_closed_harms_nobody(
    heard: Heard,
) -> None:
    async def give_up() -> None:
        heard._waiting.add((asyncio.get_running_loop(), asyncio.Event()))

    asyncio.run(give_up())

    heard.emit(TeaServed(guest="Ada"))

    assert heard.count(TeaServed) == 1
