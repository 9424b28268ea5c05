"""An inverted order is told once, before it has ever done harm."""

from __future__ import annotations

import pytest
from tests.unit.locks.line import Line, a_manager

from quorate.locks.events import LockOrderInverted
from quorate.locks.model import LockConfig
from quorate.locks.order import Inversion, LockOrder
from quorate.testing.heard import Heard


def test_the_same_order_is_never_told():
    order = LockOrder()

    assert order.taken("b", ["a"], "x") == []
    assert order.taken("c", ["a", "b"], "x") == []
    assert order.taken("b", ["a"], "y") == []


def test_the_other_order_is_told_once_and_by_whom_it_was_seen():
    order = LockOrder()
    order.taken("b", ["a"], "transfer")

    assert order.taken("a", ["b"], "audit") == [Inversion("b", "a", "transfer")]
    assert order.taken("a", ["b"], "audit") == []


def test_an_order_that_closes_a_circle_through_a_third_lock_is_told():
    order = LockOrder()
    order.taken("b", ["a"], "one")
    order.taken("c", ["b"], "two")

    assert order.taken("a", ["c"], "three") == [Inversion("c", "a", "two")]


def test_a_lock_entered_again_is_no_order():
    assert LockOrder().taken("a", ["a"], "x") == []


def test_only_so_many_names_are_kept():
    order = LockOrder(most_names=2)
    for name in "abcdef":
        order.taken("z", [name], "x")

    assert len(order._inside) == 2


async def nested(manager, *names: str, **terms) -> None:
    if names:
        async with manager.acquire_lock(names[0], **terms):
            await nested(manager, *names[1:], **terms)


async def test_a_manager_that_is_told_to_warns_of_it(line: Line, heard: Heard):
    config = LockConfig(warn_of_order=True)
    async with a_manager(line, config=config, emit=heard.emit) as manager:
        await nested(manager, "a", "b", label="transfer")
        await nested(manager, "b", "a", label="audit")

    (told,) = heard.all(LockOrderInverted)
    assert (told.first, told.second, told.by) == ("b", "a", "audit")
    assert told.before == "transfer"


@pytest.mark.parametrize("terms", [{}, {"wait_s": 0}])
async def test_it_is_silent_otherwise_and_for_who_only_tries(
    line: Line, heard: Heard, terms: dict[str, float]
):
    config = LockConfig(warn_of_order=bool(terms))
    async with a_manager(line, config=config, emit=heard.emit) as manager:
        await nested(manager, "a", "b", **terms)
        await nested(manager, "b", "a", **terms)

    assert not heard.all(LockOrderInverted)
