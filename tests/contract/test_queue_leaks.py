"""Nobody sleeps while there is work, and nothing is left of what is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.broker_place import QUEUE, Party, died, done

from quorate.queue.model import Move, MoveKind, TaskState
from quorate.queue.ports import Finished, RollCall
from quorate.wire.redis import Wire, open_wire

LASTING = {"can", "cfg", "res", "resx", "alarms"}
"""Keys that outlive tasks: of a fixed number of fields, or with an end."""


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
def ann(wire: Wire) -> Party:
    return Party(wire, "ann")


@pytest.fixture
def bob(wire: Wire) -> Party:
    return Party(wire, "bob")


def again(lease, *, delay_s: float = 0.0, failures: int = 1) -> Finished:
    move = Move(
        MoveKind.RETRY, delay_s=delay_s, record=(failures, 0, 0), body=b"it failed"
    )
    return Finished(lease, move)


# -- nobody sleeps ---------------------------------------------------------------------


async def test_who_promotes_a_task_that_it_has_no_room_for_wakes_another(
    ann: Party, bob: Party, wire: Wire
) -> None:
    rung = asyncio.Event()
    await wire.inbox.subscribe(bob.channel, lambda _: rung.set())
    await ann.puts(delay_s=0.05)
    rung.clear()
    await bob.exchange(4, bell=True)
    rung.clear()

    async def promoted() -> bool:
        """Ann has places for urgent tasks only."""
        await ann.exchange(2, others=0)
        return (await ann.broker.stats()).depth == 1

    async with asyncio.timeout(3):
        while not await promoted():
            await asyncio.sleep(0.01)
        await rung.wait()


# -- nothing is left -------------------------------------------------------------------


async def reported(party: Party, lease) -> None:
    assert await party.place.claims.report(lease, "half")


async def test_a_task_cancelled_after_a_failure_leaves_no_notes(ann: Party) -> None:
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    await reported(ann, lease)
    await ann.settles(again(lease, delay_s=60))

    assert await ann.broker.cancel("a") is TaskState.CANCELLED

    assert await ann.keys() - LASTING - {"who", "ann.1"} == set()


async def test_a_task_cancelled_in_its_lane_leaves_no_notes(ann: Party) -> None:
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    await reported(ann, lease)
    await ann.exchange(0, again(lease))

    assert await ann.broker.cancel("a") is TaskState.CANCELLED
    assert await ann.takes() == []

    assert await ann.keys() - LASTING - {"who", "ann.1"} == set()


async def test_a_task_that_died_with_its_worker_leaves_no_notes_when_forgotten(
    ann: Party, bob: Party
) -> None:
    await bob.puts(ids=["a"])
    for number in range(3):
        worker = Party(ann.wire, f"w{number}")
        (lease,) = await worker.takes()
        if number:
            assert await worker.place.claims.begin(lease)
        await reported(worker, lease)
        await worker.dies()
        await bob.queues.clean(bob.tag, lease.session)
    assert [letter.id for letter in await bob.place.dead_letters.list()] == ["a"]

    await bob.place.dead_letters.purge()

    assert await bob.keys() - LASTING == set()


async def test_a_replayed_task_leaves_no_notes(ann: Party) -> None:
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    await reported(ann, lease)
    await ann.settles(died(lease))

    await ann.place.dead_letters.replay()
    (lease,) = await ann.takes()
    await ann.settles(done(lease))

    assert await ann.keys() - LASTING - {"who", "ann.1"} == set()


async def test_a_cancellation_that_came_too_late_does_not_strike_the_next_one(
    ann: Party,
) -> None:
    """The task was done already; later its id is used again."""
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    assert await ann.broker.cancel("a") is TaskState.RUNNING
    await ann.settles(done(lease))
    key = f"{ann.tag}:j:{QUEUE}:"
    await ann.wire.calls.command("DEL", f"{key}res", f"{key}resx")

    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    answer = await ann.place.claims.roll_call(
        RollCall(lease.session, [lease.id], (3, 0), [])
    )

    assert answer.unwanted == ()


async def test_who_waits_for_a_task_that_is_purged_is_not_counted_for_ever(
    ann: Party,
) -> None:
    await ann.puts(ids=["a"], delay_s=60)
    await ann.place.results.find("a", tell=ann.channel)
    await ann.broker.cancel("a")

    waiting = await ann.wire.calls.command(
        "HGET", f"{ann.tag}:j:{QUEUE}:cfg", "waiting"
    )
    assert waiting == b"0"
