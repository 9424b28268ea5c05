"""What is said of a call that waits for replicas, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.wire.conftest import MakeCalls
from tests.unit.wire.scripted_cluster import ScriptedCluster
from tests.unit.wire.scripted_server import Command, ScriptedServer, number
from tests.unit.wire.stories import a_script

from quorate.core.errors import (
    InvalidInput,
    MissingCapability,
    OutcomeUnknown,
    StoreRefused,
)
from quorate.wire.barrier import MOST_IDLE, Barrier, Confirmed

SCRIPT = a_script(idempotent=True)


class Primary:
    """Answers a script, a SET and a WAIT; what the WAIT says, a test decides."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.replicas: bytes = number(1)
        self.cuts_at = b""
        server.answer = self.answer

    def answer(self, command: Command) -> bytes | None:
        if command[0] == self.cuts_at:
            assert self.server.asked is not None
            self.server.asked.reset()
            return None
        match command[0]:
            case b"EVALSHA" | b"EVAL":
                return b"+done\r\n"
            case b"SET":
                return b"+OK\r\n"
            case b"WAIT":
                return self.replicas
        return None


@pytest.fixture
def primary(scripted: ScriptedServer) -> Primary:
    return Primary(scripted)


@pytest.fixture
async def barrier(primary: Primary, make_calls: MakeCalls) -> AsyncIterator[Barrier]:
    barrier = Barrier(make_calls(timeout_s=0.5))
    yield barrier
    await barrier.close()


async def call(barrier: Barrier, replicas: int = 1) -> Confirmed:
    return await barrier.call(SCRIPT, ["{a}:S"], ["x"], replicas=replicas, within_s=0.2)


async def test_script_write_and_wait_leave_together(
    primary: Primary, barrier: Barrier
) -> None:
    primary.replicas = number(2)

    confirmed = await call(barrier, 2)

    assert confirmed == Confirmed(b"done", 2)
    script, mark, wait = primary.server.heard
    assert script[0] == b"EVALSHA"
    assert mark == [b"SET", b"{a}:b", b"1", b"PX", b"60000"]
    assert wait == [b"WAIT", b"2", b"200"]
    [line] = barrier._idle[""]
    assert line.stats().writes == 1


@pytest.mark.parametrize(
    "said", [number(0), b"-UNBLOCKED force unblock\r\n", b"-ERR unknown command\r\n"]
)
async def test_what_is_not_confirmed_counts_as_none(
    said: bytes, primary: Primary, barrier: Barrier
) -> None:
    primary.replicas = said

    assert await call(barrier) == Confirmed(b"done", 0)


@pytest.mark.parametrize("at", [b"SET", b"WAIT"])
async def test_a_connection_that_breaks_after_the_answer_leaves_no_replica(
    at: bytes, primary: Primary, barrier: Barrier
) -> None:
    primary.cuts_at = at

    assert await call(barrier) == Confirmed(b"done", 0)
    primary.cuts_at = b""
    assert await call(barrier) == Confirmed(b"done", 1)


async def test_a_connection_that_breaks_before_the_answer_is_an_unknown_outcome(
    primary: Primary, barrier: Barrier
) -> None:
    """It is never sent a second time by itself, idempotent or not."""
    primary.cuts_at = b"EVALSHA"

    with pytest.raises(OutcomeUnknown):
        await call(barrier)

    assert [command[0] for command in primary.server.heard].count(b"EVALSHA") == 1


async def test_a_wait_that_is_never_answered_ends_with_its_deadline(
    primary: Primary, barrier: Barrier
) -> None:
    primary.replicas = b""

    async with asyncio.timeout(2):
        assert await call(barrier) == Confirmed(b"done", 0)


async def test_who_is_cancelled_leaves_no_connection_with_a_wait_on_it(
    primary: Primary, barrier: Barrier
) -> None:
    primary.replicas = b""
    waiting = asyncio.create_task(call(barrier))
    await primary.server.hears(3)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert waiting.cancelled()
    assert barrier._idle[""] == []
    await primary.server.until(lambda: not primary.server.talk.is_open, 0.3)


async def test_a_forgotten_script_is_sent_whole_over_a_fresh_connection(
    primary: Primary, barrier: Barrier
) -> None:
    answer = primary.answer
    primary.server.answer = lambda command: (
        b"-NOSCRIPT No matching script.\r\n"
        if command[0] == b"EVALSHA"
        else answer(command)
    )

    assert await call(barrier) == Confirmed(b"done", 1)
    assert len(primary.server.talks) == 2


async def test_many_at_once_have_a_connection_each_and_few_are_kept(
    primary: Primary, barrier: Barrier
) -> None:
    confirmed = await asyncio.gather(*(call(barrier) for _ in range(20)))

    assert confirmed == [Confirmed(b"done", 1)] * 20
    assert len(primary.server.talks) == 20
    assert len(barrier._idle[""]) == MOST_IDLE


async def test_after_closing_no_connection_is_kept(
    primary: Primary, barrier: Barrier
) -> None:
    await call(barrier)
    await barrier.close()
    await barrier.close()

    await primary.server.until(lambda: not any(t.is_open for t in primary.server.talks))


@pytest.mark.parametrize(("replicas", "within_s"), [(0, 1.0), (-1, 1.0), (1, 0.0)])
async def test_nothing_to_wait_for_is_refused(
    replicas: int, within_s: float, barrier: Barrier
) -> None:
    with pytest.raises(InvalidInput, match="nothing to wait for"):
        await barrier.call(SCRIPT, ["{a}:S"], [], replicas=replicas, within_s=within_s)


async def test_what_cannot_open_connections_has_no_replicas(barrier: Barrier) -> None:
    strange = Barrier(object())  # type: ignore[arg-type]

    with pytest.raises(MissingCapability):
        await call(strange)


async def test_a_refusal_is_the_callers(primary: Primary, barrier: Barrier) -> None:
    primary.server.answer = lambda _: b"-OOM no memory\r\n"

    with pytest.raises(StoreRefused) as refused:
        await call(barrier)

    assert refused.value.code == "OOM"


async def test_in_a_cluster_it_goes_where_the_slot_is_and_is_guarded() -> None:
    async with ScriptedCluster(2) as cluster:
        calls = cluster.calls()
        barrier = Barrier(calls)
        cluster.answer = lambda _, command: (
            number(1) if command[0] == b"WAIT" else b"+OK\r\n"
        )
        first = await barrier.call(SCRIPT, ["{a}:S"], [], replicas=1, within_s=0.2)
        cluster.move("{a}:S", cluster.other("{a}:S"))
        second = await barrier.call(SCRIPT, ["{a}:S"], [], replicas=1, within_s=0.2)

        assert first == second == Confirmed(b"OK", 1)
        scripts = [(n, c) for n, c in cluster.done if c[0] == b"EVALSHA"]
        assert scripts[0][0] is not scripts[1][0]
        assert scripts[0][1][2:] == [b"2", b"{a}:S", b"{a}:?"]
        await barrier.close()
        await calls.close()
