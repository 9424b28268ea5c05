"""The audit finds what does not add up, puts it right, and leaves the rest alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.broker_place import QUEUE, Party, died, done

from quorate.queue.model import Move, MoveKind, TaskState
from quorate.queue.ports import Finished
from quorate.queue.redis import auditor
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


async def a_queue_with_everything(ann: Party) -> None:
    """One task in every place that there is."""
    await ann.puts(ids=["run", "dead", "over", "fails"])
    running, dying, over, fails = await ann.takes(4)
    assert running.id == "run"
    again = Move(MoveKind.RETRY, delay_s=60, record=(1, 0, 0))
    await ann.settles(died(dying), done(over), Finished(fails, again))
    await ann.place.claims.report(running, "half")
    await ann.puts(ids=["gone"])
    await ann.broker.cancel("gone")
    await ann.broker.cancel("run")
    await ann.puts(ids=["wait"])
    await ann.puts(ids=["low"], lane=2)
    await ann.puts(ids=["later"], delay_s=60)
    await ann.place.results.find("later", tell=ann.channel)


async def test_a_sound_queue_is_left_alone(ann: Party) -> None:
    await a_queue_with_everything(ann)
    before = await ann.broker.stats()

    audit = await ann.place.admin.audit()

    assert (audit.repaired, audit.tidied) == ((), ())
    assert audit.looked_at == 6
    assert await ann.broker.stats() == before


PLANTED = {
    "twice in a lane": (
        [("RPUSH", "r1", "wait")], ("wait", "in more than one place"),
    ),
    "in two lanes": (
        [("RPUSH", "r2", "wait")], ("wait", "in more than one place"),
    ),
    "running and in a lane": (
        [("RPUSH", "r1", "run")], ("run", "in more than one place"),
    ),
    "due and in a lane": (
        [("RPUSH", "r1", "later")], ("later", "in more than one place"),
    ),
    "running and due": (
        [("ZADD", "due", "1", "1:run")], ("run", "in more than one place"),
    ),
    "running and dead": (
        [("ZADD", "dead", "1", "run")], ("run", "in more than one place"),
    ),
    "dead and in a lane": (
        [("RPUSH", "r1", "dead")], ("dead", "in more than one place"),
    ),
    "in a lane without a task": (
        [("RPUSH", "r1", "ghost")], ("ghost", "in a lane without a task"),
    ),
    "due without a task": (
        [("ZADD", "due", "1", "1:ghost")], ("ghost", "due without a task"),
    ),
    "dead without a task": (
        [("ZADD", "dead", "1", "ghost")], ("ghost", "dead without a task"),
    ),
    "owned without a task": (
        [("HSET", "own", "ghost", "ann.1|7|1|1")], ("ghost", "owned without a task"),
    ),
    "an owner that cannot be read": (
        [("HSET", "own", "wait", "?")], ("wait", "an owner that cannot be read"),
    ),
    "a claim that its session did not list": (
        [("SREM", "mine:ann.1", "run")],
        ("run", "a claim that its session did not list"),
    ),
    "a death without a note": (
        [("HDEL", "err", "dead")], ("dead", "a death without a note"),
    ),
    "a note without a death": (
        [("HSET", "err", "wait", "{}")], ("wait", "the note of a death that was not"),
    ),
    "the record of nothing": (
        [("HSET", "att", "ghost", "1|0|0")], ("ghost", "the record of nothing"),
    ),
    "a tombstone in no lane": (
        [("HSET", "att", "ghost", "x")], ("ghost", "the record of nothing"),
    ),
    "the progress of nothing": (
        [("HSET", "prog", "ghost", "10%")], ("ghost", "the progress of nothing"),
    ),
    "the cancellation of nothing": (
        [("ZADD", "stop", "99999999999999", "ghost")],
        ("ghost", "the cancellation of nothing"),
    ),
    "somebody waits for nothing": (
        [("HSET", "wait", "ghost", "c"), ("HINCRBY", "cfg", "waiting", "1")],
        ("ghost", "somebody waits for nothing"),
    ),
    "a result without an end": (
        [("ZREM", "resx", "over")], ("over", "a result without an end"),
    ),
    "the end of no result": (
        [("ZADD", "resx", "1", "ghost")], ("ghost", "the end of no result"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
async def test_a_planted_fault_is_found_and_put_right(
    planted: str, ann: Party, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "PAGE", 2)
    await a_queue_with_everything(ann)
    sound = await ann.broker.stats()
    commands, found = PLANTED[planted]
    for name, key, *args in commands:
        await wire.calls.command(name, f"{ann.tag}:j:{QUEUE}:{key}", *args)

    audit = await ann.place.admin.audit()

    assert set(audit.tidied) == {found}
    assert audit.repaired == ()
    again = await ann.place.admin.audit()
    assert (again.repaired, again.tidied) == ((), ())
    now = await ann.broker.stats()
    assert (now.ready, now.running, now.scheduled, now.dead) == (
        sound.ready, sound.running, sound.scheduled, sound.dead,
    )  # fmt: skip
    assert [letter.id for letter in await ann.place.dead_letters.list()] == ["dead"]


async def test_without_the_audit_a_task_in_two_places_runs_twice(
    ann: Party, bob: Party, wire: Wire
) -> None:
    """What the repair above is for."""
    await ann.puts(ids=["twice"])
    await wire.calls.command("RPUSH", f"{ann.tag}:j:{QUEUE}:r1", "twice")

    first, second = await ann.takes(1), await bob.takes(1)

    assert [lease.id for lease in (*first, *second)] == ["twice", "twice"]


async def test_claims_of_the_dead_that_nobody_would_clean_are_listed_again(
    ann: Party, bob: Party, wire: Wire
) -> None:
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.dies()
    await wire.calls.command("DEL", ann.queues.index_key(ann.tag))

    audit = await bob.place.admin.audit()

    assert audit.tidied == (
        (lease.id, "a claim of a dead session that nobody would clean"),
    )
    assert await ann.is_indexed()
    await bob.queues.clean(bob.tag, lease.session)
    assert [each.id for each in await bob.takes()] == [lease.id]
    assert (await bob.place.results.find(lease.id)).state is TaskState.RUNNING
