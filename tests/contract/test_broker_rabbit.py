"""What the RabbitMQ broker promises where it differs from Redis, on a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.broker_place import (
    CONFIG,
    back,
    died,
    done,
    envelope,
    failed,
)
from tests.contract.rabbit_place import SPACIOUS, RabbitParties, RabbitParty

from quorate.core.clock import Chance
from quorate.core.errors import MissingCapability, StoreRefused
from quorate.queue.model import QueueConfig, TaskPriority
from quorate.queue.ports import Parcel
from quorate.queue.rabbit.watchdog import ConsumerRevived, Watchdog

WITHIN_S = 5.0
HIGH, NORMAL, LOW = TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW
TWO = replace(CONFIG, concurrency=2)


@pytest.fixture
async def parties(rabbit_url: str, namespace: str) -> AsyncIterator[RabbitParties]:
    parties = RabbitParties(rabbit_url, namespace)
    yield parties
    await parties.stop()


@pytest.fixture
async def ann(parties: RabbitParties) -> RabbitParty:
    return await parties.party("ann")


@pytest.fixture
async def bob(parties: RabbitParties) -> RabbitParty:
    return await parties.party("bob")


async def comes(party: RabbitParty, count: int = 1, **how) -> list:
    """Leases, waited for."""
    found: list = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += await party.takes(count - len(found), **how)
    return found


# -- in and out ------------------------------------------------------------------------


async def test_tasks_are_shared_out_as_far_as_each_has_room(parties):
    ann, bob = await parties.party("ann", TWO), await parties.party("bob", TWO)
    ids = await ann.puts(4)

    first, second = await comes(ann, 2), await comes(bob, 2)

    assert [lease.id for lease in (*first, *second)] == ids
    assert [lease.envelope for lease in first] == [envelope(i) for i in ids[:2]]


async def test_a_task_that_was_done_here_is_not_done_again(ann):
    (task,) = await ann.puts()
    (lease,) = await ann.takes()
    await ann.settles(done(lease))

    await ann.puts(ids=[task])

    assert await ann.takes() == []
    assert (await ann.broker.stats()).depth == 0


async def test_a_copy_of_what_runs_here_is_dropped(ann):
    await ann.puts(ids=["a", "a", "b"])

    leases = await ann.takes()

    assert [lease.id for lease in leases] == ["a", "b"]


async def test_a_failed_task_comes_back_with_its_record(ann):
    await ann.puts()
    (lease,) = await ann.takes()

    await ann.settles(failed(lease, Chance(1)))
    (again,) = await comes(ann)

    assert (again.id, again.attempt, again.failures) == (lease.id, 2, 1)
    assert again.token > lease.token


async def test_a_task_given_back_is_the_last_of_its_lane_and_owes_nothing(ann):
    first, *others = await ann.puts(3)
    (lease,) = await ann.takes(1)
    await ann.settles(back(lease))

    leases = await comes(ann, 3)

    assert [lease.id for lease in leases] == [*others, first]
    assert not leases[-1].has_record


async def test_a_delayed_task_comes_within_a_second_of_its_time_and_not_before(ann):
    await ann.puts(delay_s=0.5, lane=0)
    await ann.puts(delay_s=2.2, lane=2)
    began = time.monotonic()

    (first,) = await comes(ann)
    first_s = time.monotonic() - began
    (second,) = await comes(ann)
    second_s = time.monotonic() - began

    assert (first.lane, second.lane) == (0, 2)
    assert 0.5 <= first_s <= 0.5 + 1.5
    assert 2.2 <= second_s <= 2.2 + 1.5


async def test_stats_count_what_waits_what_runs_here_and_what_is_dead(ann):
    await ann.puts(2, lane=0)
    await ann.puts(2, lane=1)
    await ann.puts(1, delay_s=60)
    await ann.takes(1, takes=(0, 1, 0))
    urgent = await ann.takes(1, takes=(1, 0, 0))
    await ann.settles(died(urgent[0]))

    stats = await ann.broker.stats()

    assert stats.ready == {HIGH: 1, NORMAL: 1, LOW: 0}
    assert stats.running == {HIGH: 0, NORMAL: 1, LOW: 0}
    assert (stats.scheduled, stats.dead, stats.depth) == (1, 1, 2)


# -- deaths and cut connections --------------------------------------------------------


async def test_what_a_dead_worker_held_comes_to_another_and_is_forgiven_once(ann, bob):
    ids = await ann.puts(3)
    await ann.takes(2)

    await ann.dies()
    again = await comes(bob, 3)

    assert {lease.id for lease in again} == set(ids)
    assert [lease.crashes for lease in again] == [0, 0, 0]


async def test_a_completion_over_a_lost_connection_is_refused(ann, bob):
    await ann.puts()
    (late,) = await ann.takes()
    request = replace(await ann.request(0), finished=(done(late),))
    await ann.dies()
    (current,) = await comes(bob)

    answer = await ann.broker.exchange(request)

    assert (answer.alive, answer.stale) == (False, (late.id,))
    assert (await bob.settles(done(current))).stale == ()


async def test_a_cut_connection_is_no_crash_for_who_comes_back(ann):
    await ann.puts(2)
    (lease,) = await ann.takes(1)
    for _ in range(CONFIG.crash_budget + 2):
        await ann.dies()
        await ann.wire.consuming.ready(WITHIN_S)
        (lease, *others) = await comes(ann, 2)
        assert lease.crashes == 0
        await ann.settles(*map(back, others))

    assert (await ann.settles(done(lease))).stale == ()


async def test_a_task_that_kills_every_worker_is_set_aside(parties, ann):
    (task,) = await ann.puts()
    for turn in range(CONFIG.crash_budget + 1):
        party = await parties.party(f"p{turn}")
        (lease,) = await comes(party)
        assert lease.crashes == max(0, turn - 1)
        await party.dies()
        await party.wire.stop()

    assert await ann.takes() == []

    letters = await ann.place.dead_letters.list()
    assert [(letter.id, letter.reason) for letter in letters] == [(task, "poison")]
    assert letters[0].died_at > 0


async def test_what_kills_who_reads_it_is_given_up_by_the_broker(ann, monkeypatch):
    monkeypatch.setattr("quorate.queue.rabbit.reception.WORN_AT", 99)
    (task,) = await ann.puts()
    await ann.takes(1)
    wire = ann.reception.taps[1]._wire
    letters = ()
    async with asyncio.timeout(WITHIN_S):
        while not letters:
            for letter in [
                *ann.reception.held.values(),
                *ann.reception.taps[1].letters,
            ]:
                await wire.basic_nack(letter.message.delivery_tag, requeue=True)
            ann.reception.forget()
            await asyncio.sleep(0.01)
            if not (await ann.broker.stats()).dead:
                continue
            letters = await ann.place.dead_letters.list()

    assert [(letter.id, letter.reason) for letter in letters] == [(task, "poison")]
    assert letters[0].died_at > 0


async def test_who_runs_alone_takes_the_blame_alone(parties, ann):
    ids = await ann.puts(5)
    leases = await comes(ann, 3)

    assert await ann.place.claims.begin(leases[0])
    await ann.dies()
    bob = await parties.party("bob")
    again = {lease.id: lease for lease in await comes(bob, 5)}

    assert set(again) == set(ids)
    held = bob.broker.reception.held
    returns = {letter.id: letter.returns for letter in held.values()}
    assert returns.pop(ids[0]) == 1
    assert set(returns.values()) == {0}


async def test_what_a_worker_had_not_begun_goes_back_unblamed_when_it_leaves(ann, bob):
    await ann.puts(4)
    (lease,) = await ann.takes(1)
    await ann.settles(done(lease))

    await ann.place.claims.leave(lease.session)
    again = await comes(bob, 3)

    held = bob.broker.reception.held
    assert {held[each.token].returns for each in again} == {0}


async def test_what_waits_in_a_busy_worker_goes_to_one_with_room(ann, bob, monkeypatch):
    monkeypatch.setattr("quorate.queue.rabbit.broker.HOLD_S", 0.0)
    await ann.puts(3)
    (lease,) = await ann.takes(1)
    await ann.settles()

    await ann.broker.tidy()
    again = await comes(bob, 2)

    assert lease.id not in {each.id for each in again}
    assert (await ann.settles(done(lease))).stale == ()


# -- consumers -------------------------------------------------------------------------


async def test_a_consumer_that_the_broker_cancels_is_made_anew(parties, ann):
    await ann.takes(1)
    await parties.delete_lanes(ann)
    async with asyncio.timeout(WITHIN_S):
        while any(tap.is_open for tap in ann.reception.taps):
            await asyncio.sleep(0.01)

    await ann.puts(1)

    assert len(await comes(ann)) == 1


async def test_the_watchdog_sees_that_nobody_takes_what_waits(ann, heard):
    await ann.takes(1)
    tap = ann.reception.taps[1]
    consumer = tap._consumer
    await tap.shut()
    tap._consumer = consumer  # as if the broker had forgotten it
    await ann.puts(1)

    await Watchdog(ann.wire, {"work": ann.broker}, heard.emit).look()

    await heard(ConsumerRevived)
    assert len(await comes(ann)) == 1


async def test_queues_that_were_deleted_are_made_again_for_who_enqueues(parties, ann):
    await ann.puts(1)
    await parties.delete_lanes(ann)

    await ann.puts(1)

    assert (await ann.broker.stats()).depth == 1


async def test_a_queue_of_another_kind_is_refused_with_words(parties, ann):
    await ann.puts(1)
    other = await parties.party("eve", replace(SPACIOUS, dead_letters_max=9))

    with pytest.raises(StoreRefused, match="of another kind"):
        await other.puts(1)


# -- declared --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda ann: ann.broker.cancel("x"),
        lambda ann: ann.place.results.find("x"),
        lambda ann: ann.place.admin.pause(paused=True),
        lambda ann: ann.place.admin.shed(1),
        lambda ann: ann.place.admin.audit(),
        lambda ann: ann.place.admin.explain("x"),
        lambda ann: ann.place.claims.report(None, "half"),
    ],
)
async def test_what_it_cannot_do_it_says(ann, ask):
    with pytest.raises(MissingCapability) as caught:
        await ask(ann)

    assert "RabbitMQ alone cannot" in caught.value.what
    assert caught.value.why
    assert "queue_state" in caught.value.fix


async def test_tasks_that_the_broker_would_interrupt_are_refused(parties):
    too_long = QueueConfig(attempt_timeout_s=3600.0)
    with pytest.raises(MissingCapability, match="3600 s"):
        await parties.party("ann", too_long)


async def test_a_message_that_is_none_of_ours_is_read_all_the_same(ann):
    await ann.broker.sending.publish([(1, 0.0, b"?", None)])

    (lease,) = await ann.takes()

    assert lease.envelope == b"?"
    assert lease.attempt == 1


async def test_many_are_enqueued_at_once(ann):
    parcels = [Parcel(f"t{n}", n % 3, 0, envelope(n)) for n in range(2000)]
    for start in range(0, 2000, 250):
        assert all(await ann.broker.enqueue(parcels[start : start + 250]))

    assert (await ann.broker.stats()).depth == 2000
