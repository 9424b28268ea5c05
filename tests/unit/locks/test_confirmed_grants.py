"""A grant that too few replicas have is given back before anybody hears of it."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.locks.line import Line, a_manager, until

from quorate.core.errors import InvalidInput, MissingCapability, NotReplicated
from quorate.locks.answers import Confirm
from quorate.locks.confirming import call_confirmed
from quorate.locks.model import LockConfig
from quorate.wire.barrier import Confirmed
from quorate.wire.scripts import Script

TWO = LockConfig(replicas=2, replicas_within_s=0.5)
TOO_FEW = NotReplicated("too few")
SCRIPT = Script("locks/any", "", "", "", "", idempotent=False)


async def test_every_ask_says_how_it_is_to_be_confirmed(line: Line):
    async with a_manager(line, config=TWO) as manager:
        async with manager.acquire_lock("a"):
            pass
        async with manager.acquire_lock("b", replicas=0):
            pass

    asked = {ask.name: ask.confirm for ask in line.asks.values()}
    assert asked == {"a": Confirm(2, 0.5), "b": None}


async def test_what_is_not_confirmed_is_free_when_the_caller_hears_of_it(line: Line):
    async with a_manager(line, config=TWO) as manager:
        line.fail("acquire", TOO_FEW, before=False)

        with pytest.raises(NotReplicated):
            async with manager.acquire_lock("a"):
                pytest.fail("it was let in")

        assert line.is_empty()
        assert line.count("leave") == 1


async def test_news_of_a_grant_are_confirmed_before_they_are_believed(line: Line):
    async with a_manager(line, config=TWO) as manager:
        line.seize("a")

        async def wait() -> None:
            async with manager.acquire_lock("a"):
                pass

        waiting = asyncio.create_task(wait())
        await until(lambda: bool(line.lines.get("a")))
        line.free("a")
        await waiting
        assert line.count("acquire") == 2

        line.seize("a")
        waiting = asyncio.create_task(wait())
        await until(lambda: bool(line.lines.get("a")))
        line.fail("acquire", TOO_FEW, before=False)
        line.free("a")
        with pytest.raises(NotReplicated):
            await waiting
        assert line.is_empty()


async def test_a_hold_that_is_not_confirmed_is_not_passed_to_who_wants_it_so(
    line: Line,
):
    async with a_manager(line) as manager:
        waiting: asyncio.Task[None]

        async def wait() -> None:
            async with manager.acquire_lock("a", replicas=1):
                pass

        async with manager.acquire_lock("a"):
            waiting = asyncio.create_task(wait())
            await until(lambda: manager.stats().waiting == 1)
        await waiting

        assert manager.stats().passed_total == 0
        assert [ask.confirm for ask in line.asks.values()] == [None, Confirm(1, 1.0)]


@pytest.mark.parametrize("replicas", [-1, 1.0, True, "2"])
async def test_what_is_no_number_of_replicas_is_refused(line: Line, replicas):
    async with a_manager(line) as manager:
        with pytest.raises(InvalidInput, match="replicas = "):
            manager.acquire_lock("a", replicas=replicas)
    with pytest.raises(InvalidInput, match="replicas = "):
        LockConfig(replicas=replicas)


class OneReplica:
    """A wire whose one replica always has everything."""

    scheme = "redis"

    def __init__(self, word: bytes) -> None:
        self.barrier = self
        self._word = word

    async def call(self, script, keys, args, *, replicas, within_s):
        return Confirmed([self._word, 1], 1)


async def test_only_a_grant_has_to_be_confirmed():
    for word, replicas in ((b"granted", 1), (b"queued", 2)):
        confirm = Confirm(replicas, 0.1)
        reply = await call_confirmed(OneReplica(word), SCRIPT, ["k"], [], confirm)  # type: ignore[arg-type]
        assert reply == [word, 1]

    with pytest.raises(NotReplicated, match="1 of 2 replicas had it"):
        await call_confirmed(
            OneReplica(b"granted"), SCRIPT, ["k"], [], Confirm(2, 0.1)  # type: ignore[arg-type]
        )  # fmt: skip


async def test_where_nobody_replicates_it_is_refused():
    wire = OneReplica(b"granted")
    wire.scheme = "embedded"  # type: ignore[misc]

    with pytest.raises(MissingCapability, match="embedded:// has no replicas"):
        await call_confirmed(wire, SCRIPT, ["k"], [], Confirm(1, 0.1))  # type: ignore[arg-type]
