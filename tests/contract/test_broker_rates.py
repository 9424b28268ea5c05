"""What rates and pauses promise, and what becomes of who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.contract.broker_place import Party, back, done, guarded

from quorate.core.errors import InvalidInput
from quorate.queue.guards import Rate, Slot
from quorate.queue.model import TaskState
from quorate.wire.redis import Wire, open_wire

WITHIN_S = 5.0
HOURLY = Rate(1, per_s=3600, key="k")


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
            await asyncio.sleep(0.002)


async def collect(party: Party, count: int) -> list[str]:
    """Claim until so many tasks have come; their ids in order."""
    found: list[str] = []

    async def all_here() -> bool:
        found.extend(lease.id for lease in await party.takes())
        return len(found) >= count

    await until(all_here)
    return found


# -- rates of a key --------------------------------------------------------------------


async def test_a_burst_comes_at_once_and_the_rest_is_told_to_come_later(ann, bob):
    rate = Rate(1, per_s=60, burst=2, key="k")
    await ann.puts(ids=list("abcde"), guards=guarded(rate=rate))

    answer = await ann.exchange()

    assert [lease.id for lease in answer.leases] == ["a", "b"]
    assert answer.due_in_s is not None
    assert 50 < answer.due_in_s <= 60.1
    assert (await bob.broker.stats()).parked == 3


async def test_the_rest_comes_in_order_and_not_too_soon(ann):
    await ann.puts(
        ids=list("abcdefgh"), guards=guarded(rate=Rate(50, burst=2, key="k"))
    )
    began = ann.wire.clock.monotonic()

    assert await collect(ann, 8) == list("abcdefgh")

    assert ann.wire.clock.monotonic() - began >= 6 / 50 - 0.002


async def test_a_rate_that_is_used_up_stays_so(ann):
    guards = guarded(rate=Rate(1, per_s=3600, burst=2, key="k"))
    await ann.puts(2, guards=guards)
    assert len(await ann.takes()) == 2

    await ann.puts(1, guards=guards)

    assert await ann.takes() == []


async def test_other_keys_and_who_has_none_pass(ann):
    await ann.puts(ids=["a", "b"], guards=guarded(rate=HOURLY))
    await ann.puts(ids=["c"], guards=guarded(rate=Rate(1, per_s=3600, key="other")))
    await ann.puts(ids=["d"])

    answer = await ann.exchange(3)

    assert [lease.id for lease in answer.leases] == ["a", "c", "d"]


async def test_waiting_for_a_turn_costs_no_attempt_and_an_attempt_costs_a_turn(ann):
    await ann.puts(ids=["a", "b"], guards=guarded(rate=Rate(20, burst=1, key="k")))
    (lease,) = await ann.takes()
    began = ann.wire.clock.monotonic()
    await ann.settles(back(lease))

    leases = []

    async def both() -> bool:
        leases.extend(await ann.takes())
        return len(leases) == 2

    await until(both)

    assert [each.attempt for each in leases] == [1, 1]
    assert ann.wire.clock.monotonic() - began >= 2 / 20 - 0.01


async def test_a_slot_that_is_taken_costs_no_turn(ann):
    guards = guarded(slot=Slot("s"), rate=Rate(1, per_s=3600, burst=2, key="k"))
    await ann.puts(ids=["a", "b"], guards=guards)
    (lease,) = await ann.takes()
    assert await ann.takes() == []

    answer = await ann.exchange(10, done(lease))

    assert [each.id for each in answer.leases] == ["b"]


async def test_who_waits_for_a_turn_can_be_cancelled_and_says_why_it_waits(ann):
    await ann.puts(ids=["a", "b", "c"], guards=guarded(rate=HOURLY))
    await ann.takes()

    told = await ann.place.admin.explain("c")
    assert told.why == (
        "It waits for its turn at the rate of k. 1 task(s) wait there before it."
    )
    assert await ann.broker.cancel("b") is TaskState.CANCELLED
    told = await ann.place.admin.explain("c")
    assert told.why.endswith("0 task(s) wait there before it.")


async def test_who_was_let_in_and_cancelled_keeps_nobody_from_coming(ann):
    await ann.puts(ids=list("abcd"), guards=guarded(rate=Rate(50, burst=1, key="k")))
    assert await collect(ann, 1) == ["a"]

    async def is_let_in() -> bool:
        await ann.exchange(0)
        return (await ann.broker.stats()).depth > 0

    await until(is_let_in)
    await ann.broker.cancel("b")

    assert await collect(ann, 2) == ["c", "d"]


# -- rates of a queue and of a task ----------------------------------------------------


async def test_a_queue_gives_no_more_than_its_rate(ann, bob):
    await ann.place.admin.limit(Rate(1, per_s=3600, burst=3))
    await ann.puts(10)

    answer = await ann.exchange()
    assert len(answer.leases) == 3
    assert (answer.is_short, answer.is_limited) == (False, True)
    assert answer.due_in_s is not None
    assert answer.due_in_s > 3000
    assert await bob.takes() == []
    assert (await ann.broker.stats()).depth == 7

    await ann.place.admin.limit(None)
    assert len(await bob.takes()) == 7


async def test_what_a_queue_lacks_is_not_charged(ann):
    await ann.place.admin.limit(Rate(1, per_s=3600, burst=3))
    await ann.puts(1)
    assert len(await ann.takes()) == 1
    await ann.puts(5)

    assert len(await ann.takes()) == 2


async def test_a_full_worker_is_not_told_to_wait(ann):
    await ann.place.admin.limit(Rate(1, per_s=3600, burst=3))
    await ann.puts(5)

    answer = await ann.exchange(2)

    assert len(answer.leases) == 2
    assert not answer.is_short
    assert not answer.is_limited


async def test_nobody_is_rung_while_the_rate_says_wait(ann, bob):
    """He is told when to come instead."""
    await ann.place.admin.limit(Rate(1, per_s=3600))
    await ann.puts(2)

    answer = await bob.exchange(10, bell=True)

    assert len(answer.leases) == 1
    assert not await ann.keys() & {"bell", "bellh"}


async def test_tasks_of_one_name_are_limited_and_others_pass(ann):
    await ann.place.admin.limit(Rate(1, per_s=3600), task="mail")
    await ann.puts(ids=["a", "b"], name="mail")
    await ann.puts(ids=["c"], name="mailing")

    assert [lease.id for lease in await ann.takes(2)] == ["a", "c"]
    told = await ann.place.admin.explain("b")
    assert told.why.startswith(
        "It waits for its turn at the rate of tasks called mail."
    )

    await ann.place.admin.limit(None, task="mail")
    assert await collect(ann, 1) == ["b"]


async def test_a_new_rate_is_for_those_who_wait_already(ann):
    await ann.place.admin.limit(Rate(1, per_s=3600), task="mail")
    await ann.puts(ids=list("abcde"), name="mail")
    await ann.takes()

    await ann.place.admin.limit(Rate(1000, burst=10), task="mail")

    assert await collect(ann, 4) == list("bcde")


async def test_nothing_is_left_of_a_rate_that_is_lifted(ann):
    await ann.place.admin.limit(Rate(50, burst=1), task="mail")
    await ann.puts(ids=list("abc"), name="mail")
    assert await collect(ann, 1) == ["a"]

    async def is_let_in() -> bool:
        await ann.exchange(0)
        return (await ann.broker.stats()).depth > 0

    await until(is_let_in)
    await ann.place.admin.limit(None, task="mail")

    assert await collect(ann, 2) == ["b", "c"]

    async def all_gone() -> bool:
        await ann.exchange(0)
        left = await ann.wire.calls.command("KEYS", f"{ann.keys_begin}*:t:mail")
        return not left and "alarms" not in await ann.keys()

    await until(all_gone)


async def test_guarded_tasks_have_a_name_too(ann):
    await ann.place.admin.limit(Rate(1, per_s=3600), task="mail")

    await ann.puts(ids=["a", "b"], name="mail", guards=guarded(slot=Slot("s", limit=9)))

    assert [lease.id for lease in await ann.takes()] == ["a"]


# -- pauses ----------------------------------------------------------------------------


async def test_tasks_of_one_name_are_paused_and_resumed_live(ann):
    await ann.puts(ids=list("abc"), name="mail")
    await ann.place.admin.pause(paused=True, task="mail")
    await ann.puts(ids=["other"])

    assert [lease.id for lease in await ann.takes(1)] == ["other"]
    assert await ann.takes() == []
    told = await ann.place.admin.explain("a")
    assert told.why == "Tasks called mail are paused."

    await ann.place.admin.pause(paused=False, task="mail")
    assert await collect(ann, 3) == list("abc")


async def test_many_who_wait_for_the_end_of_a_pause_all_come(ann):
    await ann.place.admin.pause(paused=True, task="mail")
    ids = await ann.puts(250, name="mail")
    assert await ann.takes(250) == []

    await ann.place.admin.pause(paused=False, task="mail")

    assert await collect(ann, 250) == ids


async def test_idle_workers_are_rung_when_a_rule_changes(ann, bob):
    await ann.place.admin.pause(paused=True, task="mail")
    heard: list[bytes] = []
    await bob.wire.inbox.subscribe(bob.channel, heard.append)
    await bob.exchange(10, bell=True)

    await ann.place.admin.pause(paused=False, task="mail")

    async def is_rung() -> bool:
        return heard == [b"wwork"]

    await until(is_rung)


@pytest.mark.parametrize("name", ['a"b', "a\\b"])
async def test_a_name_that_envelopes_spell_differently_cannot_be_limited(ann, name):
    with pytest.raises(InvalidInput, match="limited or paused"):
        await ann.place.admin.pause(paused=True, task=name)


async def test_a_name_of_any_language_can(ann):
    await ann.place.admin.pause(paused=True, task="grüße")
    await ann.puts(name="grüße")

    assert await ann.takes() == []


async def test_a_queue_that_is_not_limited_any_more_keeps_no_rule(ann):
    await ann.place.admin.limit(Rate(5))
    await ann.place.admin.limit(Rate(7), task="mail")
    await ann.place.admin.limit(None)
    await ann.place.admin.limit(None, task="mail")

    assert await ann.wire.calls.command("HGET", f"{ann.keys_begin}cfg", "gates") is None
