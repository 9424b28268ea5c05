"""The kinds beside locks, as far as they need no server."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.locks.line import a_manager, turns, until

from quorate.core.errors import InvalidInput, InvalidName, MissingCapability
from quorate.locks.model import (
    ELECTION,
    SEMAPHORE,
    LockConfig,
    LockType,
    kind_of,
    shown,
)


def test_a_name_is_shown_without_the_mark_of_its_kind():
    assert (shown("a"), kind_of("a")) == ("a", "lock")
    assert (shown(SEMAPHORE + "a"), kind_of(SEMAPHORE + "a")) == ("a", "semaphore")
    assert (shown(ELECTION + "a"), kind_of(ELECTION + "a")) == ("a", "election")


def test_no_name_of_a_user_can_have_a_mark(line):
    manager = a_manager(line)

    for mark in (SEMAPHORE, ELECTION):
        with pytest.raises(InvalidName):
            manager.acquire_lock(mark + "a")


@pytest.mark.parametrize("name", ["", " a", "a\n", None, 1, ["a"], {}])
async def test_a_bad_name_is_refused_each_time_it_is_asked_for(manager, name):
    async with manager.acquire_lock("a"):
        pass

    for _ in range(2):
        with pytest.raises(InvalidName):
            manager.acquire_lock(name)


@pytest.mark.parametrize(
    ("config", "asked", "ends_after"),
    [
        (LockConfig(), None, None),
        (LockConfig(), 5.0, 5.0),
        (LockConfig(auto_extend=False), None, 30.0),
        (LockConfig(max_hold_s=10.0), None, 10.0),
        (LockConfig(max_hold_s=10.0), 5.0, 5.0),
        (LockConfig(max_hold_s=10.0), 50.0, 10.0),
        (LockConfig(auto_extend=False, max_hold_s=10.0), None, 10.0),
    ],
)
def test_the_shortest_bound_ends_a_hold(config, asked, ends_after):
    assert config.timeout_of(asked) == ends_after


@pytest.mark.parametrize("priority", [-1, 1001, 0.5, "high"])
def test_a_priority_is_a_small_whole_number(line, priority):
    with pytest.raises(InvalidInput, match="priority"):
        a_manager(line).acquire_lock("a", priority=priority)


async def test_what_a_store_does_not_offer_is_said_at_once(manager):
    with pytest.raises(MissingCapability, match="semaphores"):
        manager.semaphore("a", 2)
    for wanted in (manager.election, manager.latch, manager.barrier):
        args = ("a",) if wanted == manager.election else ("a", 2)
        with pytest.raises(MissingCapability, match="elections, latches"):
            wanted(*args)
    async with manager.acquire_lock("a") as grant:
        with pytest.raises(MissingCapability, match="upgraded"):
            await grant.downgrade()


async def test_locks_that_a_store_cannot_take_at_once_are_taken_in_their_order(
    manager, line
):
    async with manager.lock_all(["b", "a", "c"]) as grants:
        assert [grant.name for grant in grants] == ["b", "a", "c"]
        assert list(line.held) == ["a", "b", "c"]

    assert line.is_empty()
    assert line.count("acquire") == 3


async def test_a_block_of_several_is_used_once(manager):
    block = manager.lock_all(["a"])
    async with block:
        pass

    with pytest.raises(RuntimeError, match="used once"):
        async with block:
            pass


async def test_who_is_urgent_asks_the_server_itself(manager, line):
    line.seize("a")
    first = asyncio.ensure_future(manager.acquire_lock("a").__aenter__())
    await until(lambda: len(line.lines.get("a", ())) == 1)
    behind = asyncio.ensure_future(manager.acquire_lock("a").__aenter__())
    await turns()
    assert len(line.lines["a"]) == 1

    block = manager.acquire_lock("a", priority=5)
    urgent = asyncio.ensure_future(block.__aenter__())
    await until(lambda: len(line.lines["a"]) == 2)

    assert [ask.ahead_s for ask in line.asks.values()] == [0.0, 5.0]
    line.lines["a"].rotate(1)
    line.free("a")
    await urgent
    assert not first.done()
    await block.__aexit__(None, None, None)
    await first
    assert not behind.done()


async def test_the_grant_says_how_it_is_held(manager):
    for lock_type in (LockType.EXCLUSIVE, LockType.REENTRANT):
        async with manager.acquire_lock("a", lock_type) as grant:
            assert grant.lock_type is lock_type
            token = grant.token
        assert grant.token == token
