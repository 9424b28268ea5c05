"""What every broker promises of tasks that wait for a service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.broker_place import Party, done, failed

from quorate.core.clock import Chance
from quorate.queue.decide import after_hold
from quorate.queue.model import Lease, TaskPriority, TaskState
from quorate.queue.ports import Finished
from quorate.wire.redis import Wire, open_wire


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


def held(lease: Lease, service: str = "payments") -> Finished:
    return Finished(lease, after_hold(lease, service))


async def test_what_is_set_aside_is_not_claimed_before_it_is_taken_up(ann, bob):
    ids = await ann.puts(ids=["a", "b", "c"])
    await ann.settles(*map(held, await ann.takes()))

    assert await bob.takes() == []
    assert await bob.place.held.services() == ("payments",)
    assert await bob.place.held.take_up("payments", 100) == 3

    assert [lease.id for lease in await bob.takes()] == ids
    assert await bob.place.held.services() == ()


async def test_each_service_has_tasks_of_its_own_and_lanes_are_kept(ann):
    await ann.puts(ids=["a"], lane=0)
    await ann.puts(ids=["b"], lane=2)
    first, second = await ann.takes()
    await ann.settles(held(first, "payments"), held(second, "mail"))

    assert await ann.place.held.take_up("mail", 100) == 1

    (lease,) = await ann.takes()
    assert (lease.id, lease.lane) == ("b", 2)
    assert await ann.place.held.services() == ("payments",)


async def test_nothing_is_counted_against_it(ann):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.settles(failed(lease, Chance(1)))
    again: list[Lease] = []
    while not again:
        again = await ann.takes()
    await ann.settles(held(again[0]))
    await ann.place.held.take_up("payments", 10)

    (lease,) = await ann.takes()

    assert (lease.failures, lease.crashes, lease.bounces) == (1, 0, 0)
    await ann.settles(done(lease))
    assert not await ann.keys() & {"job", "own", "r1", "att", "due", "held"}


async def test_many_are_taken_up_a_few_at_a_time(ann):
    await ann.puts(250)
    leases = (await ann.exchange(250)).leases
    await ann.settles(*map(held, leases))

    counts, left = [], []
    for _ in range(3):
        counts.append(await ann.place.held.take_up("payments", 100))
        left.append(await ann.place.held.services())

    assert counts == [100, 100, 50]
    assert left == [("payments",), ("payments",), ()]
    assert (await ann.broker.stats()).ready[TaskPriority.NORMAL] == 250


async def test_who_asks_is_told_what_it_waits_for(ann):
    (task,) = await ann.puts()
    await ann.settles(*map(held, await ann.takes()))

    explained = await ann.place.admin.explain(task)

    assert explained.state is TaskState.SCHEDULED
    assert "a service that is down" in explained.why
    assert (await ann.place.admin.audit()).repaired == ()


async def test_it_can_be_cancelled(ann):
    (task,) = await ann.puts()
    await ann.settles(*map(held, await ann.takes()))

    assert await ann.broker.cancel(task) is TaskState.CANCELLED

    assert await ann.place.held.take_up("payments", 10) == 0
    assert await ann.takes() == []


async def test_whoever_lost_the_task_cannot_set_it_aside(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()
    dead = await ann.join()
    await ann.dies()
    await bob.queues.clean(bob.tag, dead)

    answer = await ann.settles(held(lease))

    assert not answer.alive
    assert len(await bob.takes()) == 1
