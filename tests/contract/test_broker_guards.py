"""What guards promise: unique keys, and slots for so many tasks of a key at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.contract.broker_place import (
    Party,
    back,
    died,
    done,
    failed,
    guarded,
)

from quorate.core.clock import Chance
from quorate.queue.decide import after_cancel
from quorate.queue.guards import Rate, Slot, Unique, UniqueScope
from quorate.queue.model import TaskPriority, TaskState
from quorate.queue.ports import Finished, RollCall
from quorate.queue.redis import auditor
from quorate.wire.redis import Wire, open_wire

WITHIN_S = 5.0
FINISHED = guarded(Unique("k"))
STARTED = guarded(Unique("k", UniqueScope.UNTIL_STARTED))
ONE = guarded(slot=Slot("user:42"))
TWO = guarded(slot=Slot("user:42", limit=2))


def window(window_s: float) -> bytes:
    return guarded(Unique("k", UniqueScope.WINDOW, window_s))


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


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.005)


def ids_of(leases) -> list[str]:
    return [lease.id for lease in leases]


# -- unique keys -----------------------------------------------------------------------


async def test_a_second_task_of_a_key_is_answered_with_the_first(ann, bob):
    assert await ann.answers(["a"], guards=FINISHED) == [True]

    assert await bob.answers(["b", "c"], guards=FINISHED) == ["a", "a"]
    assert await ann.answers(["a"], guards=FINISHED) == [False]
    assert ids_of(await ann.takes()) == ["a"]


async def test_one_call_may_hold_a_key_twice(ann):
    assert await ann.answers(["a", "b"], guards=FINISHED) == [True, "a"]


@pytest.mark.parametrize("guards", [FINISHED, STARTED, window(60)])
async def test_keys_are_told_apart(ann, guards):
    other = guards.replace(b"|k\n", b"|other\n")

    assert await ann.answers(["a"], guards=guards) == [True]
    assert await ann.answers(["b"], guards=other) == [True]


async def test_a_key_is_free_when_its_task_is_done(ann):
    await ann.answers(["a"], guards=FINISHED)
    (lease,) = await ann.takes()
    assert await ann.answers(["b"], guards=FINISHED) == ["a"]

    await ann.settles(done(lease))

    assert "uniq" not in await ann.keys()
    assert await ann.answers(["b"], guards=FINISHED) == [True]


@pytest.mark.parametrize("guards", [FINISHED, STARTED])
async def test_a_key_is_free_when_its_task_was_cancelled_or_is_dead(ann, guards):
    await ann.answers(["a"], guards=guards)
    await ann.broker.cancel("a")
    assert "uniq" not in await ann.keys()
    assert await ann.answers(["b"], guards=guards) == [True]

    (lease,) = await ann.takes()
    await ann.settles(died(lease))
    assert await ann.answers(["c"], guards=guards) == [True]

    (lease,) = await ann.takes()
    await ann.settles(Finished(lease, after_cancel(60.0)))
    assert await ann.answers(["d"], guards=guards) == [True]


async def test_a_key_stays_with_a_task_that_is_tried_again(ann):
    await ann.answers(["a"], guards=FINISHED)
    (lease,) = await ann.takes()
    await ann.settles(failed(lease, Chance(1)))

    assert await ann.answers(["b"], guards=FINISHED) == ["a"]


async def test_a_key_until_started_is_free_when_a_worker_has_it(ann):
    await ann.answers(["a"], guards=STARTED)
    assert await ann.answers(["b"], guards=STARTED) == ["a"]

    await ann.takes()

    assert await ann.answers(["b"], guards=STARTED) == [True]
    assert await ann.answers(["c"], guards=STARTED) == ["b"]


async def test_the_end_of_one_task_does_not_free_the_key_of_the_next(ann):
    await ann.answers(["a"], guards=STARTED)
    (lease,) = await ann.takes()
    await ann.answers(["b"], guards=STARTED)

    await ann.settles(died(lease))

    assert await ann.answers(["c"], guards=STARTED) == ["b"]


async def test_a_window_lasts_whatever_becomes_of_the_task(ann):
    await ann.answers(["a"], guards=window(0.3))
    (lease,) = await ann.takes()
    await ann.settles(done(lease))
    assert await ann.answers(["b"], guards=window(0.3)) == ["a"]

    async def is_over() -> bool:
        return await ann.answers(["b"], guards=window(0.3)) == [True]

    await until(is_over)


async def test_a_replay_takes_the_key_again_or_is_left_out(ann):
    await ann.answers(["a"], guards=FINISHED)
    await ann.settles(*map(died, await ann.takes()))
    await ann.answers(["b"], guards=FINISHED)
    assert await ann.place.dead_letters.replay(["a"]) == 0
    assert (await ann.place.results.find("a")).state is TaskState.DEAD

    await ann.settles(*map(done, await ann.takes()))
    assert await ann.place.dead_letters.replay(["a"]) == 1
    assert await ann.answers(["c"], guards=FINISHED) == ["a"]


async def test_a_task_that_kills_its_workers_frees_its_key(ann):
    await ann.answers(["a"], guards=FINISHED)
    for turn in range(3):
        party = Party(ann.wire, f"p{turn}")
        (lease,) = await party.takes()
        await party.place.claims.begin(lease)
        await party.dies()
        await ann.queues.clean(party.tag, await party.join())

    assert "uniq" not in await ann.keys()
    assert await ann.answers(["b"], guards=FINISHED) == [True]


async def test_a_key_whose_task_is_nowhere_is_free(ann):
    """What a failover may leave behind."""
    await ann.wire.calls.command("HSET", f"{ann.keys_begin}uniq", "k", "gone")

    assert await ann.answers(["b"], guards=FINISHED) == [True]


# -- slots -----------------------------------------------------------------------------


async def test_so_many_of_a_key_run_and_nobody_behind_them_waits(ann):
    await ann.puts(ids=["a", "b", "c"], guards=TWO)
    await ann.puts(ids=["d"])

    answer = await ann.exchange(3)

    assert ids_of(answer.leases) == ["a", "b", "d"]
    assert not answer.is_short
    stats = await ann.broker.stats()
    assert (stats.parked, stats.depth) == (1, 0)


async def test_the_next_comes_with_the_exchange_that_frees_the_slot(ann, bob):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    (lease,) = await ann.takes()
    assert await bob.takes() == []

    answer = await ann.exchange(10, done(lease))

    assert ids_of(answer.leases) == ["b"]
    assert (await ann.broker.stats()).parked == 1


async def test_who_waits_for_a_slot_is_served_by_lane_and_age(ann):
    await ann.puts(ids=["first"], guards=ONE)
    (lease,) = await ann.takes()
    await ann.puts(ids=["low"], lane=2, guards=ONE)
    await ann.takes()
    await ann.puts(ids=["b", "c"], guards=ONE)
    await ann.puts(ids=["high"], lane=0, guards=ONE)
    assert await ann.takes() == []

    served = []
    while lease:
        (lease, *_) = (*(await ann.exchange(10, done(lease))).leases, None)
        served.append(lease and lease.id)

    assert served == ["high", "b", "c", "low", None]


async def test_a_slot_is_a_lock_with_the_token_of_its_task(ann, bob):
    await ann.puts(ids=["a", "b"], guards=ONE)
    (first,) = await ann.takes()
    held = await ann.wire.calls.command("HGETALL", f"{ann.keys_begin}slot:user:42")
    assert held == [b"a", str(first.token).encode()]

    await ann.dies()
    await bob.puts(ids=["c"], guards=ONE)
    (second,) = await bob.takes()

    assert second.token > first.token
    assert first.id in (await ann.settles(done(first))).stale
    assert await bob.takes() == []


async def test_a_slot_is_free_again_as_soon_as_its_session_is_dead(ann, bob):
    """At once for who asks, and for who waits when the dead are cleaned up after."""
    await ann.puts(ids=["a"], guards=ONE)
    await ann.takes()
    await ann.dies()
    await bob.puts(ids=["b"], guards=ONE)

    (lease,) = await bob.takes()
    assert lease.id == "b"
    await bob.queues.clean(bob.tag, await ann.join())
    assert await bob.takes() == []
    assert ids_of((await bob.exchange(10, done(lease))).leases) == ["a"]


async def test_who_waits_for_the_slot_of_the_dead_is_let_in(ann, bob):
    await ann.puts(ids=["a", "b"], guards=ONE)
    await ann.takes()
    await ann.dies()

    await bob.queues.clean(bob.tag, await ann.join())

    (lease,) = await bob.takes()
    assert lease.id == "b"
    assert (await bob.broker.stats()).parked == 1


@pytest.mark.parametrize("ending", [back, died, lambda lease: failed(lease, Chance(1))])
async def test_a_slot_is_free_however_its_task_leaves_the_worker(ann, ending):
    await ann.puts(ids=["a", "b"], guards=ONE)
    (lease,) = await ann.takes()

    answer = await ann.exchange(1, ending(lease))

    assert ids_of(answer.leases) == ["b"]


async def test_a_slot_is_free_when_a_claim_goes_back_that_nobody_knows_of(ann):
    await ann.puts(ids=["a", "b"], guards=ONE)
    await ann.takes()
    me = await ann.join()

    await ann.place.claims.roll_call(RollCall(me, (), (ann.last.number, 0), ()))

    assert ids_of(await ann.takes()) == ["b"]


async def test_a_task_that_waits_for_a_slot_can_be_cancelled(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    (lease,) = await ann.takes()

    assert await ann.broker.cancel("b") is TaskState.CANCELLED

    assert ids_of((await ann.exchange(10, done(lease))).leases) == ["c"]


async def test_it_is_told_who_else_waits_after_a_cancellation(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    await ann.takes()

    await ann.broker.cancel("b")

    told = await ann.place.admin.explain("c")
    assert "0 task(s) wait there before it." in told.why
    assert (await ann.broker.stats()).parked == 1


async def test_a_task_cancelled_on_its_way_to_its_slot_lets_the_next_in(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    (lease,) = await ann.takes()
    await ann.settles(done(lease))

    assert await ann.broker.cancel("b") is TaskState.CANCELLED

    assert ids_of(await ann.takes()) == ["c"]


async def test_who_was_let_in_to_a_lane_that_is_not_served_blocks_nobody(ann):
    await ann.puts(ids=["a"], guards=ONE)
    (lease,) = await ann.takes()
    await ann.puts(ids=["low"], lane=2, guards=ONE)
    await ann.takes()
    await ann.settles(done(lease))
    await ann.place.admin.shed(1)
    await ann.puts(ids=["high"], lane=0, guards=ONE)

    (lease,) = await ann.takes()
    assert lease.id == "high"

    await ann.place.admin.shed(0)
    assert await ann.takes() == []
    assert ids_of((await ann.exchange(10, done(lease))).leases) == ["low"]


async def test_a_higher_limit_lets_more_in(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    await ann.takes()
    await ann.puts(ids=["d"], guards=guarded(slot=Slot("user:42", limit=3)))

    assert set(ids_of([*await ann.takes(), *await ann.takes()])) <= {"b", "c", "d"}
    assert sum((await ann.broker.stats()).running.values()) == 3


async def test_a_repeated_exchange_has_the_same_slots(ann):
    await ann.puts(ids=["a", "b"], guards=ONE)
    answer = await ann.exchange()

    again = await ann.broker.exchange(ann.last)

    assert again.leases == answer.leases
    (lease,) = answer.leases
    assert ids_of((await ann.exchange(10, done(lease))).leases) == ["b"]


async def test_a_crowd_at_a_slot_costs_each_task_one_look(ann):
    await ann.puts(500, guards=ONE)
    await ann.puts(ids=["behind"])

    answer = await ann.exchange(200)

    assert len(answer.leases) == 2
    assert answer.leases[1].id == "behind"
    assert (await ann.broker.stats()).parked == 499


async def test_it_is_told_what_a_parked_task_waits_for(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    await ann.takes()

    told = await ann.place.admin.explain("c")

    assert told.state is TaskState.QUEUED
    assert told.why == (
        "It waits for the slot user:42, which a has. 1 task(s) wait there before it."
    )
    assert (await ann.place.results.find("c")).state is TaskState.QUEUED


async def test_an_audit_knows_parked_tasks_and_puts_back_lost_ones(ann):
    await ann.puts(ids=["a", "b", "c"], guards=ONE)
    (lease,) = await ann.takes()
    assert (await ann.place.admin.audit()).repaired == ()

    await ann.wire.calls.command("ZREM", f"{ann.keys_begin}park:s:user:42", "1:b")
    assert (await ann.place.admin.audit()).repaired == ("b",)
    await ann.takes()

    assert ids_of((await ann.exchange(10, done(lease))).leases) == ["c"]


async def test_a_judge_leaves_parked_tasks_where_they_are(ann):
    await ann.puts(ids=["a", "b"], guards=ONE)
    await ann.takes()
    places = [f"{ann.tag}:S", ann.keys_begin]

    mended = await ann.wire.calls.call(auditor._MEND, places, ["work", "b"])

    assert mended == []


async def test_nothing_is_left_of_guards_when_all_is_done(ann):
    guards = guarded(
        Unique("u", UniqueScope.UNTIL_FINISHED), Slot("s"), Rate(100, key="r")
    )
    await ann.answers(["a"], guards=guards)
    await ann.puts(ids=["b"], guards=guarded(slot=Slot("s")))
    (lease,) = await ann.takes()
    (lease,) = (await ann.exchange(10, done(lease))).leases
    await ann.settles(done(lease))

    async def is_clean() -> bool:
        await ann.settles()
        return await ann.keys() <= {"cfg", "res", "resx", "who", "queues"} | {
            key for key in await ann.keys() if key.startswith(("ann", "x:"))
        }

    await until(is_clean)


async def test_high_comes_first_through_a_slot_too(ann):
    """Lanes are taken in their order; a slot does not turn it round."""
    await ann.puts(ids=["n"], guards=ONE)
    await ann.puts(ids=["h"], lane=0, guards=ONE)

    (lease,) = await ann.takes()

    assert lease.id == "h"
    assert TaskPriority.HIGH.lane == lease.lane
