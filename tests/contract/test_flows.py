"""What every broker of chains and groups promises: each step once, in its time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.broker_place import CONFIG, QUEUE, Party, died, done, failed

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import Tasks
from quorate.queue.decide import after_cancel, after_success
from quorate.queue.envelope import Before, read_before, read_header, read_payload
from quorate.queue.flow import Plan, plan_chain, plan_group, with_before
from quorate.queue.guards import Slot, Unique
from quorate.queue.model import Lease, Task, TaskPriority, TaskState
from quorate.queue.ports import Finished, RollCall
from quorate.queue.producer import Producer
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


def a_task(name: str, payload: object = None, **more) -> Task:
    return Task(name=name, payload=payload, queue=QUEUE, **more)


def packed(party: Party):
    producer = Producer(lambda _: party.broker, CONFIG, Tasks(), party.wire.clock)
    return producer.pack


async def chains(party: Party, *names: str, on_failure="stop") -> Plan:
    steps = [a_task(name) for name in names]
    plan = plan_chain(steps, packed(party), "flow", on_failure)
    await party.place.flows.put_in(plan)
    return plan


async def groups(party: Party, *members, on_failure="stop", **how) -> Plan:
    listed = [a_task(each) if isinstance(each, str) else each for each in members]
    plan = plan_group(listed, a_task("last"), packed(party), "flow", on_failure, **how)
    await party.place.flows.put_in(plan)
    return plan


def name_of(lease: Lease) -> str:
    return read_header(lease.envelope)[0].name


def given_to(lease: Lease) -> object:
    header, payload = read_header(lease.envelope)
    return with_before(header, read_payload(payload), lease.envelope)


async def takes(party: Party) -> dict[str, Lease]:
    return {name_of(lease): lease for lease in await party.takes()}


async def takes_one(party: Party, name: str) -> Lease:
    (lease,) = await party.takes()
    assert name_of(lease) == name
    return lease


def ended(lease: Lease, result: bytes = b'"ok"', keep_s: float = 60.0) -> Finished:
    return Finished(lease, after_success(result, keep_s), is_marked=True)


def cancelled(lease: Lease) -> Finished:
    return Finished(lease, after_cancel(60.0))


async def state(party: Party, task_id: str) -> TaskState | None:
    return (await party.place.results.find(task_id)).state


async def leftovers(party: Party) -> set[str]:
    """What a flow leaves on the server besides results: nothing."""
    kept = {"res", "resx", "cfg", "bell", "bellh", "att", "who"}
    return {key for key in await party.keys() if key not in kept and "ann" not in key}


# -- chains ----------------------------------------------------------------------------


async def test_each_step_begins_when_the_one_before_is_settled(ann):
    plan = await chains(ann, "a", "b", "c")

    await ann.settles(ended(await takes_one(ann, "a"), b"1"))
    second = await takes_one(ann, "b")
    await ann.settles(ended(second, b"[2]"))
    third = await takes_one(ann, "c")
    await ann.settles(done(third))

    assert (given_to(second), given_to(third)) == (1, [2])
    assert [lease.id for lease in (second, third)] == list(plan.ids[1:])
    assert plan.ids[-1] == "flow"
    assert await state(ann, "flow") is TaskState.DONE
    assert await leftovers(ann) == set()


async def test_a_result_that_is_not_kept_reaches_the_next_step_all_the_same(ann):
    await chains(ann, "a", "b")

    await ann.settles(ended(await takes_one(ann, "a"), b"7", keep_s=0.0))

    assert given_to(await takes_one(ann, "b")) == 7


async def test_a_step_that_waits_is_known_and_counted_as_scheduled(ann):
    await chains(ann, "a", "b")

    assert await state(ann, "flow") is TaskState.SCHEDULED
    assert "waits" in (await ann.place.admin.explain("flow")).why
    stats = await ann.broker.stats()
    assert (stats.depth, stats.scheduled) == (1, 1)
    assert (await ann.place.admin.audit()).repaired == ()


async def test_a_step_keeps_its_lane(ann):
    steps = [a_task("a"), a_task("b", priority=TaskPriority.HIGH)]
    await ann.place.flows.put_in(plan_chain(steps, packed(ann), "flow", "stop"))
    await ann.settles(ended(await takes_one(ann, "a")))

    assert (await takes_one(ann, "b")).lane == 0


async def test_asking_for_the_same_chain_again_changes_nothing(ann):
    plan = await chains(ann, "a", "b")
    await ann.settles(ended(await takes_one(ann, "a")))

    assert await ann.place.flows.put_in(plan) == 0
    await ann.settles(done(await takes_one(ann, "b")))
    assert await ann.place.flows.put_in(plan) == 0

    assert await ann.takes() == []
    assert await leftovers(ann) == set()


async def test_a_retried_step_does_not_set_off_the_next(ann):
    await chains(ann, "a", "b")
    lease = await takes_one(ann, "a")
    await ann.settles(failed(lease, Chance(1)))

    assert (await ann.broker.stats()).ready[TaskPriority.NORMAL] == 0

    again: list[Lease] = []
    while not again:
        again = await ann.takes()
    await ann.settles(ended(again[0], b"3"))
    assert given_to(await takes_one(ann, "b")) == 3


async def test_a_completion_that_comes_too_late_sets_nothing_off(ann, bob):
    """The task belongs to somebody else by now; only what he makes of it counts."""
    await chains(ann, "a", "b")
    lease = await takes_one(ann, "a")
    dead = await ann.join()
    await ann.dies()
    await bob.queues.clean(bob.tag, dead)

    late = await ann.settles(ended(lease, b'"late"'))
    await bob.settles(ended(await takes_one(bob, "a"), b'"in time"'))

    assert not late.alive
    assert given_to(await takes_one(bob, "b")) == "in time"


async def test_a_claim_that_was_given_to_another_sets_nothing_off(ann, bob):
    """The session lives, but the task is somebody else's by now."""
    await chains(ann, "a", "b")
    old = await takes_one(ann, "a")
    await ann.place.claims.roll_call(RollCall(old.session, [], (1, 0), []))
    new = await takes_one(bob, "a")

    answer = await ann.settles(ended(old, b'"old"'))
    assert answer.stale == (old.id,)
    assert await ann.takes() == []

    await bob.settles(ended(new, b'"new"'))
    assert given_to(await takes_one(bob, "b")) == "new"


@pytest.mark.parametrize("end", [died, cancelled])
async def test_a_step_that_fails_calls_the_rest_off(ann, end):
    plan = await chains(ann, "a", "b", "c")

    await ann.settles(end(await takes_one(ann, "a")))

    assert await ann.takes() == []
    assert [await state(ann, each) for each in plan.ids[1:]] == [
        TaskState.CANCELLED,
        TaskState.CANCELLED,
    ]
    because = (await ann.place.results.find("flow")).body.decode()
    assert because == plan.ids[1]
    await ann.place.dead_letters.purge()
    assert await leftovers(ann) == set()


@pytest.mark.parametrize("end", [died, cancelled])
async def test_a_chain_may_go_on_after_a_failure(ann, end):
    await chains(ann, "a", "b", on_failure="continue")

    await ann.settles(end(await takes_one(ann, "a")))

    lease = await takes_one(ann, "b")
    assert given_to(lease) is None
    (before,) = read_before(lease.envelope)
    assert before.state is (TaskState.DEAD if end is died else TaskState.CANCELLED)


async def test_a_step_whose_workers_die_calls_the_rest_off(ann, bob, wire):
    await chains(ann, "a", "b")
    for number in range(CONFIG.crash_budget):
        party = Party(wire, f"w{number}")
        (lease,) = await party.takes()
        await party.broker.begin(lease)
        dead = await party.join()
        await party.dies()
        await bob.queues.clean(bob.tag, dead)

    assert await state(bob, "flow") is TaskState.CANCELLED


async def test_a_step_that_waits_can_be_cancelled_with_all_after_it(ann):
    plan = await chains(ann, "a", "b", "c")

    assert await ann.broker.cancel(plan.ids[1]) is TaskState.CANCELLED
    await ann.settles(ended(await takes_one(ann, "a")))

    assert await ann.takes() == []
    assert await state(ann, "flow") is TaskState.CANCELLED
    assert await leftovers(ann) == set()


async def test_a_dead_letter_of_a_chain_shows_its_payload(ann):
    steps = [a_task("a"), a_task("b", {"x": 1})]
    await ann.place.flows.put_in(plan_chain(steps, packed(ann), "flow", "stop"))
    await ann.settles(ended(await takes_one(ann, "a")))
    await ann.settles(died(await takes_one(ann, "b")))

    (letter,) = await ann.place.dead_letters.list()
    assert (letter.name, letter.payload) == ("b", {"x": 1})


# -- groups ----------------------------------------------------------------------------


async def test_the_last_step_begins_when_all_have_ended(ann):
    await groups(ann, "a", "b", "c")
    leases = await takes(ann)

    await ann.settles(ended(leases["c"], b"3"), ended(leases["a"], b"1"))
    early = await ann.takes()
    await ann.settles(ended(leases["b"], b"2"))

    assert early == []
    last = await takes_one(ann, "last")
    assert (last.id, given_to(last)) == ("flow", [1, 2, 3])
    await ann.settles(done(last))
    assert await leftovers(ann) == set()


async def test_a_member_may_be_a_chain(ann):
    await groups(ann, "a", [a_task("b1"), a_task("b2")])
    leases = await takes(ann)
    await ann.settles(ended(leases["a"], b"1"), ended(leases["b1"], b"2"))

    await ann.settles(ended(await takes_one(ann, "b2"), b"3"))

    assert given_to(await takes_one(ann, "last")) == [1, 3]


async def test_a_member_that_ends_twice_counts_once(ann):
    """Its answer was lost: the same exchange again."""
    await groups(ann, "a", "b")
    leases = await takes(ann)
    await ann.settles(ended(leases["a"], b"1"))

    await ann.broker.exchange(ann.last)

    assert await ann.takes() == []


@pytest.mark.parametrize("end", [died, cancelled])
async def test_one_failure_calls_a_group_off(ann, end):
    plan = await groups(ann, "a", "b", [a_task("c1"), a_task("c2")], "d")
    first, second = (await ann.exchange(2)).leases
    assert {name_of(first), name_of(second)} == {"a", "b"}

    await ann.settles(end(first))

    assert await ann.takes() == []
    assert await state(ann, "flow") is TaskState.CANCELLED
    assert await state(ann, plan.ids[-2]) is TaskState.CANCELLED
    # One runs: its worker was told, and what it comes to changes nothing any more.
    assert await state(ann, second.id) is TaskState.RUNNING
    await ann.settles(cancelled(second))
    await ann.place.dead_letters.purge()
    assert await leftovers(ann) == set()


async def test_a_group_may_go_on_after_failures(ann):
    await groups(
        ann, "a", "b", "c", [a_task("d1"), a_task("d2")], on_failure="continue"
    )
    leases = await takes(ann)

    await ann.settles(
        ended(leases["a"], b"1"),
        died(leases["b"]),
        cancelled(leases["c"]),
        died(leases["d1"]),
    )

    assert given_to(await takes_one(ann, "last")) == [
        {"state": "done", "result": 1, "error": ""},
        {"state": "dead", "result": None, "error": "enough"},
        {"state": "cancelled", "result": None, "error": "It was cancelled."},
        {"state": "cancelled", "result": None, "error": "It was cancelled."},
    ]


async def test_results_that_are_too_much_together_are_left_out(ann):
    await groups(ann, *(f"t{n}" for n in range(5)))
    leases = (await ann.exchange(5)).leases
    big = b'"' + b"x" * 1_000_000 + b'"'

    await ann.settles(*(ended(lease, big) for lease in leases))

    (last,) = await ann.takes()
    before = read_before(last.envelope)
    assert [each.state for each in before] == [TaskState.DONE] * 5
    assert [each.result is None for each in before] == [False] * 4 + [True]


async def test_a_large_group_goes_in_with_several_calls(ann):
    plan = await groups(ann, *(f"t{n}" for n in range(300)))
    assert (await ann.broker.stats()).depth == 300

    for _ in range(2):
        leases = (await ann.exchange(150)).leases
        await ann.settles(*(ended(lease, b"1") for lease in leases))

    assert given_to(await takes_one(ann, "last")) == [1] * 300
    assert len(plan.ids) == 301


async def test_asking_for_the_same_group_again_changes_nothing(ann):
    plan = await groups(ann, "a", "b")
    leases = await takes(ann)
    await ann.settles(ended(leases["a"]))
    await ann.place.flows.put_in(plan)
    await ann.settles(ended(leases["b"]))
    await ann.place.flows.put_in(plan)

    await ann.settles(done(await takes_one(ann, "last")))
    await ann.place.flows.put_in(plan)

    assert await ann.takes() == []
    assert await leftovers(ann) == set()


async def test_steps_may_need_a_slot(ann):
    slot = Slot("printer", 1)
    members = [a_task("a", slot=slot), a_task("b", slot=slot)]
    plan = plan_group(members, a_task("last", slot=slot), packed(ann), "flow", "stop")
    await ann.place.flows.put_in(plan)

    for name in ("a", "b"):
        await ann.settles(ended(await takes_one(ann, name), b"1"))

    last = await takes_one(ann, "last")
    assert given_to(last) == [1, 1]
    await ann.settles(done(last))
    assert await leftovers(ann) == set()


async def test_a_step_with_a_slot_that_is_called_off_leaves_nothing(ann):
    slot = Slot("printer", 1)
    members = [a_task("a"), a_task("b", slot=slot), a_task("c", slot=slot)]
    plan = plan_group(members, a_task("last", slot=slot), packed(ann), "flow", "stop")
    await ann.place.flows.put_in(plan)
    leases = await takes(ann)
    assert set(leases) == {"a", "b"}

    await ann.settles(died(leases["a"]), cancelled(leases["b"]))

    assert await ann.takes() == []
    await ann.place.dead_letters.purge()
    assert await leftovers(ann) == set()


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        [a_task("a")],
        [a_task("a"), Task(name="b", queue="elsewhere")],
        [a_task("a"), a_task("b", id="one")],
        [a_task("a"), a_task("b", delay_s=1.0)],
        [a_task("a"), a_task("b", unique=Unique("b"))],
        [a_task("a", flow="p"), a_task("b")],
        [a_task("a")] * 101,
    ],
)
def test_steps_that_cannot_follow_one_another_are_refused(steps):
    with pytest.raises(InvalidInput):
        plan_chain(steps, str, "flow", "stop")


def test_what_came_before_is_read_line_by_line():
    envelope = b'{"v":1,"n":"a"}\nnull\nd[1]\nx{"error":"no"}\nc\nd'

    assert read_before(envelope) == [
        Before(TaskState.DONE, [1]),
        Before(TaskState.DEAD, error="no"),
        Before(TaskState.CANCELLED, error="It was cancelled."),
        Before(TaskState.DONE),
    ]
