"""Dead letters: chosen by what they are, replayed at a pace, and not kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.broker_place import CONFIG, Party, died

from quorate.core.errors import InvalidInput
from quorate.queue.decide import dead
from quorate.queue.guards import Rate
from quorate.queue.model import DeadReason
from quorate.queue.ports import Finished
from quorate.queue.views import Which
from quorate.wire.redis import Wire, open_wire

WITHIN_S = 5.0


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
def ann(wire: Wire) -> Party:
    return Party(wire, "ann")


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.005)


async def die(party: Party, ids: list[str], reason: DeadReason, name: str) -> None:
    await party.puts(ids=ids, name=name)
    for lease in await party.takes():
        await party.settles(Finished(lease, dead(lease, reason, "no")))


@pytest.fixture
async def graves(ann: Party) -> Party:
    await die(ann, ["a", "b"], DeadReason.EXHAUSTED, "mail")
    await die(ann, ["c"], DeadReason.POISON, "mail")
    await die(ann, ["d"], DeadReason.POISON, "report")
    return ann


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        (None, "abcd"),
        (Which(), "abcd"),
        (["d", "a", "none"], "da"),
        (Which(reason="poison"), "cd"),
        (Which(task="mail"), "abc"),
        (Which(task="mail", reason="poison"), "c"),
        (Which(ids=("b", "d"), reason="poison"), "d"),
        (Which(reason="expired"), ""),
        (Which(since=0.0), "abcd"),
        (Which(until=1.0), ""),
        ([], ""),
    ],
)
async def test_those_that_are_chosen_come_back_and_no_other(graves, which, ids):
    letters = graves.place.dead_letters
    assert await letters.replay(which, dry_run=True) == len(ids)
    assert await graves.takes() == []

    assert await letters.replay(which) == len(ids)

    leases = await graves.takes()
    assert "".join(lease.id for lease in leases) == ids
    assert all(lease.attempt == 1 for lease in leases)
    left = {letter.id for letter in await letters.list()}
    assert left == set("abcd") - set(ids)


async def test_they_are_chosen_by_the_time_of_their_death(graves):
    letters = graves.place.dead_letters
    times = {letter.id: letter.died_at for letter in await letters.list()}

    async def clock_has_moved() -> bool:
        await graves.puts(ids=["late"])
        (lease,) = await graves.takes()
        await graves.settles(died(lease))
        (latest, *_) = await letters.list(most=1)
        if latest.died_at > times["d"]:
            return True
        await letters.purge(["late"])
        return False

    await until(clock_has_moved)
    (latest, *_) = await letters.list(most=1)

    assert await letters.purge(Which(since=latest.died_at), dry_run=True) == 1
    assert await letters.purge(Which(until=latest.died_at)) == 4
    assert [letter.id for letter in await letters.list()] == ["late"]


async def test_purging_those_chosen_leaves_the_others(graves):
    letters = graves.place.dead_letters

    assert await letters.purge(Which(task="mail"), dry_run=True) == 3
    assert len(await letters.list()) == 4
    assert await letters.purge(Which(task="mail")) == 3

    assert [letter.id for letter in await letters.list()] == ["d"]
    assert "alarms" in await graves.keys()
    assert await letters.purge() == 1
    assert "alarms" not in await graves.keys()
    assert (await graves.place.results.find("a")).state is None


async def test_a_replay_at_a_rate_comes_one_after_the_other_in_order(ann):
    ids = await ann.puts(30)
    await ann.settles(*map(died, await ann.takes(30)))
    letters = ann.place.dead_letters
    order = [letter.id for letter in reversed(await letters.list())]
    began = ann.wire.clock.monotonic()

    assert await letters.replay(rate=Rate(100)) == 30
    assert await letters.list() == ()
    assert (await ann.broker.stats()).scheduled == 30
    found: list[str] = []

    async def all_here() -> bool:
        found.extend(lease.id for lease in await ann.takes(30))
        return len(found) == 30

    await until(all_here)
    assert found == order
    assert set(found) == set(ids)
    assert ann.wire.clock.monotonic() - began >= 0.28


async def test_a_replay_that_was_cut_off_goes_on_where_it_was(ann):
    """What was replayed is not dead any more, and the next come after it."""
    await ann.puts(20)
    await ann.settles(*map(died, await ann.takes(20)))
    letters = ann.place.dead_letters
    order = [letter.id for letter in reversed(await letters.list())]
    slow = Rate(1, per_s=1000)

    assert await letters.replay(order[:10], rate=slow) == 10
    assert await letters.replay(rate=slow) == 10

    key = f"{ann.keys_begin}due"
    due = await ann.wire.calls.command("ZRANGE", key, 0, "-1", "WITHSCORES")
    assert [member.decode()[2:] for member in due[::2]] == order
    gaps = [
        float(later) - float(sooner)
        for sooner, later in zip(due[1::2], due[3::2], strict=False)
    ]
    assert all(999_999 <= gap <= 1_000_001 for gap in gaps)


async def test_dead_letters_are_kept_for_a_while_and_no_longer(wire):
    """Nobody has to die for it: an exchange that has time looks after them."""
    party = Party(wire, "ann", replace(CONFIG, dead_letters_keep_s=0.15))
    await party.puts(3)
    await party.settles(*map(died, await party.takes()))
    assert len(await party.place.dead_letters.list()) == 3

    async def all_gone() -> bool:
        await party.exchange()
        return await party.place.dead_letters.list() == ()

    await until(all_gone)
    assert not await party.keys() & {"job", "err", "dead", "att", "alarms"}


async def test_a_text_is_not_taken_for_a_list_of_ids(graves):
    with pytest.raises(InvalidInput):
        await graves.place.dead_letters.replay("abcd")
