"""Each story of a kind of lock goes well, and goes wrong with a bug in its scripts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from tests.contract.lock_place import Place, Process, in_line
from tests.servers import Servers

from quorate.core.errors import DeadlockError, LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks import desk, redis_conversions, redis_meetings, redis_together
from quorate.locks import redis as redis_locks
from quorate.locks.model import LockConfig, LockType
from quorate.wire.scripts import Script

TERMS = LeaseTerms(ttl_s=30.0)
SOON_S = {"right": 5.0, "wrong": 0.5}
"""How long it takes to believe that nothing comes: with right scripts it comes at once
on any machine, and with wrong ones not before somebody looks of its own accord."""

scripts_are = "right"
MODULES = (redis_locks, redis_conversions, redis_meetings, redis_together)


async def soon(work: Awaitable[object], within_s: float | None = None) -> bool:
    """Whether it is done before anybody looks again of its own accord."""
    task = asyncio.ensure_future(work)
    within_s = SOON_S[scripts_are] if within_s is None else within_s
    done, _ = await asyncio.wait({task}, timeout=within_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return bool(done) and not task.cancelled() and task.exception() is None


async def tries(process: Process, name: str, lock_type: LockType) -> bool:
    """Whether it gets the lock at once."""
    try:
        async with process.locks.acquire_lock(name, lock_type, wait_s=0):
            return True
    except LockNotGranted:
        return False


async def two_upgrade(ann: Process, bob: Process) -> bool:
    """One of two is refused, the other is served when that has left."""
    async with ann.locks.acquire_lock("a", LockType.SHARED) as grant:
        async with bob.locks.acquire_lock("a", LockType.SHARED) as other:
            upgrading = asyncio.ensure_future(grant.upgrade())
            await asked(ann)
            try:
                await other.upgrade(wait_s=SOON_S[scripts_are])
                return False
            except DeadlockError:
                refused = True
            except LockNotGranted:
                refused = False
        served = await soon(upgrading)
        alone = not await tries(bob, "a", LockType.SHARED)
    return refused and served and alone


async def asked(process: Process) -> None:
    """Wait until a reader waits to write, or writes."""
    tag = process.backend.wire.keys.lock_tag("a")
    call = process.backend.wire.calls.command
    async with asyncio.timeout(5):
        while await call("HMGET", f"{tag}:l:h:a", "u", "m") == [None, b"s"]:
            await asyncio.sleep(0.002)


async def readers_come_while_one_upgrades(ann: Process, bob: Process) -> bool:
    """Nobody enters before who waits to write."""
    async with (
        ann.locks.acquire_lock("a", LockType.SHARED) as grant,
        bob.locks.acquire_lock("a", LockType.SHARED),
    ):
        upgrading = asyncio.ensure_future(grant.upgrade())
        await asked(ann)
        second = asyncio.ensure_future(tries(bob, "a", LockType.SHARED))
        entered = await second
        upgrading.cancel()
        await asyncio.wait({upgrading})
    return not entered


async def a_writer_becomes_a_reader(ann: Process, bob: Process) -> bool:
    """A reader that waits is let in, and no writer."""

    async def reads() -> None:
        async with bob.locks.acquire_lock("a", LockType.SHARED):
            pass

    async with ann.locks.acquire_lock("a") as grant:
        reading = asyncio.ensure_future(reads())
        await in_line(bob, "a", 1)
        await grant.downgrade()
        served = await soon(reading)
        if grant.is_lost:
            return False
        return served and not await tries(bob, "a", LockType.EXCLUSIVE)


async def permits_are_counted(ann: Process, bob: Process) -> bool:
    """Never more than there are, and all are there again afterwards."""
    async with (
        ann.locks.semaphore("s", 3).acquire(2),
        bob.locks.semaphore("s", 3).acquire(1),
    ):
        try:
            async with bob.locks.semaphore("s", 3).acquire(1, wait_s=0):
                return False
        except LockNotGranted:
            pass

    async def takes_all() -> None:
        async with ann.locks.semaphore("s", 3).acquire(3):
            pass

    return await soon(takes_all())


async def a_heavy_one_waits(ann: Process, bob: Process) -> bool:
    """Light ones that come later do not overtake it."""
    async with ann.locks.semaphore("s", 3).acquire(2):
        heavy = asyncio.ensure_future(
            bob.locks.semaphore("s", 3).acquire(3).__aenter__()
        )
        async with asyncio.timeout(5):
            while not (await ann.locks.semaphore("s", 3).explain()).waiters:
                await asyncio.sleep(0.002)
        try:
            async with ann.locks.semaphore("s", 3).acquire(1, wait_s=0):
                overtaken = True
        except LockNotGranted:
            overtaken = False
    return await soon(heavy) and not overtaken


async def permits_of_the_dead(ann: Process, bob: Process) -> bool:
    """They are free for the next who asks, even if nobody sweeps."""
    await bob.locks.semaphore("s", 1).acquire(on_loss="flag").__aenter__()
    await bob.dies_on_the_server()
    try:
        async with ann.locks.semaphore("s", 1).acquire(wait_s=0):
            return True
    except LockNotGranted:
        return False


async def one_of_many_is_taken(ann: Process, bob: Process) -> bool:
    """All or none."""
    async with bob.locks.acquire_lock("b"):
        try:
            async with ann.locks.lock_all(["a", "b"], wait_s=0):
                return False
        except LockNotGranted:
            pass
    async with ann.locks.lock_all(["a", "b"], wait_s=0) as (first, second):
        holders = (await bob.locks.explain("b")).holders
        return first.token > 0 and [h.token for h in holders] == [second.token]


async def a_leader_follows(ann: Process, bob: Process) -> bool:
    """An observer hears of it, without looking of its own accord."""
    observing = bob.locks.election("e").observe()
    assert await anext(observing) is None
    async with ann.locks.election("e", "ann").campaign():
        return await soon(anext(observing))


async def a_leader_is_chosen(ann: Process, bob: Process) -> bool:
    """Leadership goes to whom it is transferred."""
    async with ann.locks.election("e", "ann").campaign() as leadership:
        waiting = {}
        for number, name in enumerate(("one", "two"), 1):
            campaign = bob.locks.election("e", name).campaign()
            waiting[name] = asyncio.ensure_future(campaign.__aenter__())
            while len(await ann.locks.election("e").candidates()) < number:
                await asyncio.sleep(0.002)
        await leadership.transfer("two")
        served = await soon(asyncio.shield(waiting["two"]))
    for task in waiting.values():
        task.cancel()
    await asyncio.wait(waiting.values())
    return served


async def one_counts_twice(ann: Process, bob: Process) -> bool:
    """A participant is one participant."""
    latch = ann.locks.latch("d", 2)
    await latch.count_down("one")
    await latch.count_down("one")
    waiting = asyncio.ensure_future(bob.locks.latch("d", 2).wait())
    early = await soon(asyncio.shield(waiting), SOON_S["wrong"])
    await latch.count_down("two")
    return not early and await soon(waiting)


async def one_leaves_a_barrier(ann: Process, bob: Process) -> bool:
    """Who has left does not count, and who is dead neither."""
    with contextlib.suppress(LockNotGranted):
        await ann.locks.barrier("b", 2).wait("gone", wait_s=0.05)
    tag = ann.backend.wire.keys.lock_tag("b")
    call = ann.backend.wire.calls.command
    await call("HSET", f"{tag}:l:b:b", "w:dead", "dead:1\nnobody.1")
    if await soon(bob.locks.barrier("b", 2).wait("one"), SOON_S["wrong"]):
        return False
    waiting = asyncio.ensure_future(bob.locks.barrier("b", 2).wait("one"))
    return await soon(ann.locks.barrier("b", 2).wait("two")) and await soon(waiting)


Tale = Callable[[Process, Process], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Bug:
    """A line of Lua made wrong, and the story that must not go well with it."""

    name: str
    right: str
    wrong: str
    tale: Tale


BUGS = (
    Bug("two may wait to write", "if found[3] and found[3] ~= id then",
        "if false then", two_upgrade),
    Bug("a reader writes beside others", "if redis.call('HLEN', key) > 4 then",
        "if false then", two_upgrade),
    Bug("nobody is told that it may write",
        "tell(session, 'granted'", "local _ = lines(session, 'granted'", two_upgrade),
    Bug("readers enter before who waits to write",
        " and redis.call('HEXISTS', key, 'u') == 0)) then", ")) then",
        readers_come_while_one_upgrades),
    Bug("a writer that reads keeps readers out", "  admit_readers(name)\n  return",
        "  return", a_writer_becomes_a_reader),
    Bug("who reads after writing keeps no writer out",
        "  admit_readers(name)\n  return",
        "  admit_readers(name) redis.call('HDEL', key, 'm')\n  return",
        a_writer_becomes_a_reader),
    Bug("permits in use are not counted", "redis.call('HINCRBY', key, 'w', weight)",
        "redis.call('HINCRBY', key, 'w', 0)", permits_are_counted),
    Bug("permits do not come back",
        "if redis.call('HINCRBY', key, 'w', '-' .. is[7]) <= 0 then",
        "if redis.call('HINCRBY', key, 'w', 0) <= 0 then", permits_are_counted),
    Bug("a light one overtakes",
        "if fits and not in_grace() and redis.call('EXISTS', writers(name)) == 0",
        "if fits and not in_grace()", a_heavy_one_waits),
    Bug("the next is not let in",
        "take_back(name, id, fields(record))\n    hand_on(name)",
        "take_back(name, id, fields(record))", a_heavy_one_waits),
    Bug("the dead keep permits",
        "local first_end, one = take_back_from_the_dead(name)",
        "local first_end, one = 0, ''", permits_of_the_dead),
    Bug("a lock of many is taken though held",
        "elseif is[1] or redis.call('EXISTS', writers(name), readers(name)) > 0",
        "elseif redis.call('EXISTS', writers(name), readers(name)) > 0",
        one_of_many_is_taken),
    Bug("nobody hears of a leader",
        "redis.call('PUBLISH', base .. 'on:' .. name, '')", "", a_leader_follows),
    Bug("the first in line leads",
        "redis.call('ZADD', line, digits(tonumber(first) - 1)",
        "redis.call('ZADD', line, digits(tonumber(first) + 1e15)", a_leader_is_chosen),
    Bug("one counts twice", "redis.call('SADD', key, ARGV[2]) == 1",
        "redis.call('SADD', key, ARGV[2], ARGV[2] .. '!') > 0", one_counts_twice),
    Bug("who left a barrier counts", "redis.call('HDEL', key, 'w:' .. me)",
        "redis.call('HLEN', key)", one_leaves_a_barrier),
    Bug("who is dead counts", "if is_alive(is[2]) then", "if true then",
        one_leaves_a_barrier),
    Bug("nobody hears that all are here",
        "redis.call('PUBLISH', base .. 'on:' .. ARGV[1], '')\nreturn {'passed'",
        "return {'passed'", one_leaves_a_barrier),
)  # fmt: skip


def scripts() -> list[tuple[object, str, Script]]:
    return [
        (module, name, value)
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, Script)
    ]


def broken(script: Script, bug: Bug) -> Script:
    text = script.text.replace(bug.right, bug.wrong)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return replace(script, text=text, sha=sha)


@pytest.fixture
async def place(
    servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """Some stories end inside a block, which nobody then leaves: no use to wait."""
    monkeypatch.setattr(desk, "ALL_OUT_S", 0.0)
    place = Place(servers.shared("valkey").url, namespace)
    yield place
    async with asyncio.timeout(20):
        await place.close()


async def goes_well(place: Place, tale: Tale) -> bool:
    """Everything is asked of the server: nothing is passed on within a process."""
    config = LockConfig(passing_s=0.0)
    ann, bob = [await place.process(TERMS, config) for _ in range(2)]
    async with asyncio.timeout(10):
        return await tale(ann, bob)


@pytest.mark.parametrize(
    "tale", dict.fromkeys(bug.tale for bug in BUGS), ids=lambda tale: tale.__name__
)
async def test_a_story_goes_well_with_the_scripts_as_they_are(place, tale):
    assert await goes_well(place, tale)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
async def test_a_story_does_not_go_well_with_a_bug(
    place, bug, monkeypatch: pytest.MonkeyPatch
):
    found = scripts()
    assert any(bug.right in script.text for _, _, script in found), "no such line"
    for module, name, script in found:
        monkeypatch.setattr(module, name, broken(script, bug))
    monkeypatch.setitem(globals(), "scripts_are", "wrong")

    assert not await goes_well(place, bug.tale)
