"""What every broker promises: claims, fences, lanes, and nothing lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.broker_place import (
    CONFIG,
    QUEUE,
    Party,
    back,
    died,
    done,
    envelope,
    failed,
)
from tests.contract.rabbit_place import HYBRIDS, RabbitParties

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput
from quorate.queue.decide import after_cancel, after_success
from quorate.queue.events import TaskDied, TasksTakenBack
from quorate.queue.model import TaskPriority, TaskState
from quorate.queue.patience import RetryPolicy
from quorate.queue.ports import Finished, Parcel, RollCall
from quorate.resilience.backoff import constant
from quorate.wire.redis import Wire, open_wire

WITHIN_S = 5.0
HIGH, NORMAL, LOW = TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW


@pytest.fixture
async def wire(queue_url: str, namespace: str) -> AsyncIterator[Wire | RabbitParties]:
    if queue_url.startswith("amqp"):
        transport, _, state = queue_url.partition(" ")
        parties = RabbitParties(transport, namespace)
        if state:
            yield await parties.with_state(state)
        else:
            yield parties
        await parties.stop()
        return
    wire = await open_wire(queue_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.fixture
async def ann(wire: Wire | RabbitParties) -> Party:
    return await party_on(wire, "ann")


@pytest.fixture
async def bob(wire: Wire | RabbitParties) -> Party:
    return await party_on(wire, "bob")


async def party_on(wire: Wire | RabbitParties, name: str) -> Party:
    if isinstance(wire, RabbitParties):
        return await wire.party(name)
    if parties := HYBRIDS.get(wire):
        return await parties.hybrid(name)
    return Party(wire, name)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.005)


# -- in and out ------------------------------------------------------------------------


@pytest.mark.differs_on_rabbit(
    "what was sent to one worker no other has; see test_broker_rabbit"
)
async def test_a_task_is_claimed_once_and_in_order(ann, bob):
    ids = await ann.puts(3)

    first, second = await ann.takes(2), await bob.takes(2)

    assert [lease.id for lease in (*first, *second)] == ids
    assert [lease.envelope for lease in first] == [envelope(i) for i in ids[:2]]
    assert [lease.attempt for lease in first] == [1, 1]


@pytest.mark.differs_on_rabbit("there are no results")
async def test_a_settled_task_leaves_only_its_result(ann):
    (task,) = await ann.puts()
    (lease,) = await ann.takes()

    answer = await ann.settles(done(lease))

    assert answer.alive
    assert answer.stale == ()
    found = await ann.place.results.find(task)
    assert (found.state, found.body) == (TaskState.DONE, b'"ok"')
    assert (await ann.broker.stats()).running[NORMAL] == 0
    assert not await ann.keys() & {"job", "own", "r1", "att"}


@pytest.mark.differs_on_rabbit("what comes back is a copy at the end")
async def test_tokens_grow_from_claim_to_claim(ann, bob):
    await ann.puts(3)

    leases = [*await ann.takes(2), *await bob.takes(1)]
    (again,) = (await ann.exchange(1, back(leases[0]))).leases

    tokens = [lease.token for lease in (*leases, again)]
    assert tokens == sorted(set(tokens))


@pytest.mark.differs_on_rabbit("ids are told apart where tasks run")
async def test_enqueueing_the_same_id_twice_changes_nothing(ann):
    first = await ann.broker.enqueue([Parcel("a", 1, 0, envelope(1))])
    again = await ann.broker.enqueue(
        [Parcel("a", 1, 0, envelope(2)), Parcel("b", 1, 0, envelope(3))]
    )

    assert (first, again) == ([True], [False, True])
    assert [lease.id for lease in await ann.takes()] == ["a", "b"]


@pytest.mark.differs_on_rabbit("ids are told apart where tasks run")
async def test_an_id_twice_in_one_call_is_put_in_once(ann):
    parcel = Parcel("a", 1, 0, envelope(1))

    assert await ann.broker.enqueue([parcel, parcel]) == [True, False]


@pytest.mark.differs_on_rabbit("it is dropped where it was done")
@pytest.mark.parametrize("keep_s", [60.0, 0.0])
async def test_a_finished_task_is_not_put_in_again_while_it_is_remembered(ann, keep_s):
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    await ann.settles(done(lease, after_success(b"1", keep_s)))

    assert await ann.broker.enqueue([Parcel("a", 1, 0, envelope(1))]) == [False]


async def test_a_batch_of_256_fits_into_one_exchange(ann):
    ids = await ann.puts(256)

    leases = await ann.takes(256)
    answer = await ann.settles(*map(done, leases))

    assert [lease.id for lease in leases] == ids
    assert answer.stale == ()


# -- fences ----------------------------------------------------------------------------


@pytest.mark.differs_on_rabbit("nothing fences a completion")
async def test_a_completion_by_a_former_owner_is_refused(ann, bob):
    await ann.puts()
    (late,) = await ann.takes()
    await ann.dies()
    await ann.queues.clean(ann.tag, late.session)
    (current,) = await bob.takes()

    answer = await ann.broker.exchange(
        replace(await ann.request(0), finished=(done(late),))
    )

    assert answer.stale == (late.id,)
    found = await bob.place.results.find(late.id)
    assert found.state is TaskState.RUNNING
    assert (await bob.settles(done(current))).stale == ()


async def test_nobody_settles_the_task_of_another(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()

    assert (await bob.settles(done(lease))).stale == (lease.id,)
    assert (await ann.settles(done(lease))).stale == ()


async def test_a_dead_session_settles_and_claims_nothing(ann):
    await ann.puts(2)
    (lease,) = await ann.takes(1)
    request = replace(await ann.request(1), finished=(done(lease),))
    await ann.dies()

    answer = await ann.broker.exchange(request)

    assert not answer.alive
    assert answer.stale == (lease.id,)
    assert answer.leases == ()


async def test_a_completion_with_an_old_token_of_the_same_session_is_refused(ann):
    await ann.puts()
    (first,) = await ann.takes()
    await ann.settles(back(first))
    (second,) = await ann.takes()

    assert (await ann.settles(done(first))).stale == (first.id,)
    assert (await ann.settles(done(second))).stale == ()


async def test_a_repeated_exchange_gives_the_same_claims_and_settles_once(ann):
    await ann.puts(4)
    (lease,) = await ann.takes(1)
    answer = await ann.exchange(2, done(lease))

    again = await ann.broker.exchange(ann.last)

    assert again.leases == answer.leases
    assert again.stale == ()
    assert (await ann.broker.stats()).ready[NORMAL] == 1


async def test_a_repeated_exchange_tells_the_stale_ones_again(ann):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.settles(done(lease))
    answer = await ann.settles(done(lease))

    again = await ann.broker.exchange(ann.last)

    assert answer.stale == again.stale == (lease.id,)


async def test_an_exchange_that_was_overtaken_does_nothing(ann):
    await ann.puts(2)
    old = await ann.request(1)
    await ann.exchange(1)

    answer = await ann.broker.exchange(old)

    assert answer.alive
    assert answer.leases == ()
    assert (await ann.broker.stats()).ready[NORMAL] == 1


async def test_two_exchangers_of_one_session_keep_their_own_numbers(ann):
    await ann.puts(2)
    first = await ann.exchange(1, exchanger=0)
    request = ann.last
    second = await ann.exchange(1, exchanger=1)

    again = await ann.broker.exchange(request)

    assert again.leases == first.leases
    assert second.leases[0].id != first.leases[0].id


# -- lanes -----------------------------------------------------------------------------


async def test_lanes_are_taken_as_asked_and_what_one_lacks_goes_to_the_others(ann):
    high = await ann.puts(1, lane=0)
    normal = await ann.puts(5, lane=1)
    low = await ann.puts(5, lane=2)

    answer = await ann.exchange(6, takes=(4, 1, 1))

    taken = {lease.id for lease in answer.leases}
    assert taken == {*high, *normal[:4], low[0]}
    assert not answer.is_short


async def test_what_the_last_lane_lacks_goes_to_those_before_it(ann):
    await ann.puts(6, lane=1)

    answer = await ann.exchange(6, takes=(0, 1, 5))

    assert len(answer.leases) == 6


async def test_reserved_places_take_only_urgent_tasks(ann):
    await ann.puts(3, lane=1)
    await ann.puts(3, lane=2)

    taken = await ann.takes(4, others=2)

    assert [lease.lane for lease in taken] == [1, 1]


@pytest.mark.differs_on_rabbit("nothing is looked at by all workers")
@pytest.mark.parametrize(("level", "lanes"), [(1, [0, 1]), (2, [0]), (3, [])])
async def test_a_shed_level_stops_lanes_in_the_next_exchange(ann, level, lanes):
    for lane in range(3):
        await ann.puts(1, lane=lane)

    assert await ann.place.admin.shed(level) == 0
    answer = await ann.exchange(9, takes=(3, 3, 3))

    assert [lease.lane for lease in answer.leases] == lanes
    assert answer.shed_level == level
    assert await ann.place.admin.shed(0) == level
    assert len(await ann.takes()) == 3 - len(lanes)


@pytest.mark.differs_on_rabbit("nothing is looked at by all workers")
async def test_a_paused_queue_gives_nothing_and_still_settles(ann):
    await ann.puts(2)
    (lease,) = await ann.takes(1)
    await ann.place.admin.pause(paused=True)

    answer = await ann.exchange(5, done(lease))

    assert (answer.leases, answer.stale) == ((), ())
    await ann.place.admin.pause(paused=False)
    assert len(await ann.takes()) == 1


@pytest.mark.differs_on_rabbit("there are no shed levels")
@pytest.mark.parametrize("level", [-1, 4, True, "1"])
async def test_a_shed_level_that_is_none_is_refused(ann, level):
    with pytest.raises(InvalidInput, match="shed level"):
        await ann.place.admin.shed(level)


@pytest.mark.differs_on_rabbit("a look tells of what has come to the worker")
async def test_a_look_tells_depths_and_ages(ann):
    await ann.puts(2, lane=0)
    await ann.puts(1, lane=2, ids=["given"])

    sight = (await ann.exchange(0)).sight

    assert sight.depths == (2, 0, 1)
    assert 0 <= sight.ages_s[0] < 5
    assert sight.ages_s[1:] == (None, None)


# -- later -----------------------------------------------------------------------------


@pytest.mark.differs_on_rabbit("delays are whole seconds")
async def test_a_delayed_task_is_ready_when_it_is_due_and_not_before(ann):
    await ann.puts(delay_s=60.0)

    answer = await ann.exchange()

    assert answer.leases == ()
    assert 50 < answer.due_in_s <= 60
    began = ann.wire.clock.monotonic()
    await ann.puts(delay_s=0.15)
    await until(lambda: _has_some(ann))
    assert ann.wire.clock.monotonic() - began >= 0.15 - 0.002


async def _has_some(party: Party) -> bool:
    return bool(await party.takes())


@pytest.mark.differs_on_rabbit("there are no states of single tasks")
async def test_a_failed_task_comes_back_with_its_record(ann):
    await ann.puts()
    (lease,) = await ann.takes()

    await ann.settles(failed(lease, Chance(1)))

    assert (await ann.place.results.find(lease.id)).state is TaskState.RETRYING
    again = []

    async def came_back() -> bool:
        again.extend(await ann.takes())
        return bool(again)

    await until(came_back)
    assert (again[0].attempt, again[0].failures) == (2, 1)
    await ann.settles(done(again[0]))
    assert not await ann.keys() & {"job", "own", "att", "due"}


@pytest.mark.differs_on_rabbit("the broker promotes, in whole seconds")
async def test_who_lets_a_task_rest_is_told_when_to_come_again(ann):
    """Even without upkeep, or an idle worker would find it by chance."""
    await ann.puts(2)
    first, second = await ann.takes()
    slow = RetryPolicy(3, constant(60.0))
    request = await ann.request(
        0, failed(first, Chance(1)), failed(second, Chance(1), slow)
    )

    answer = await ann.broker.exchange(replace(request, upkeep=False))

    assert answer.due_in_s == 0.02


@pytest.mark.differs_on_rabbit("it is the last of its lane")
async def test_a_task_given_back_is_the_first_of_its_lane_and_owes_nothing(ann):
    first, *_ = await ann.puts(3)
    (lease,) = await ann.takes(1)

    (again,) = (await ann.exchange(1, back(lease))).leases

    assert again.id == first
    assert not again.has_record


@pytest.mark.differs_on_rabbit("the broker promotes")
async def test_promotion_is_bounded_and_tells_that_there_is_more(ann):
    await ann.puts(150, delay_s=0.001)
    await until(lambda: _is_due(ann))

    answer = await ann.exchange(0)

    assert answer.sight.depths[1] == 100
    assert answer.due_in_s == 0
    assert (await ann.exchange(0)).sight.depths[1] == 150


async def _is_due(party: Party) -> bool:
    await asyncio.sleep(0.005)
    return True


# -- the dead --------------------------------------------------------------------------


@pytest.mark.differs_on_rabbit("the first death is forgiven")
async def test_tasks_of_a_dead_session_go_back_to_the_front_with_a_crash(ann, bob):
    ids = await ann.puts(3)
    taken = await ann.takes(2)
    await ann.dies()

    await bob.queues.clean(ann.tag, taken[0].session)

    again = await bob.takes()
    assert {lease.id for lease in again[:2]} == set(ids[:2])
    assert again[2].id == ids[2]
    assert [lease.crashes for lease in again] == [1, 1, 0]
    assert [lease.attempt for lease in again] == [1, 1, 1]
    assert bob.events == [
        TasksTakenBack(queue=QUEUE, session=taken[0].session, tasks=2, crashed=2)
    ]


@pytest.mark.differs_on_rabbit("the broker cleans")
async def test_a_living_session_is_not_cleaned(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()

    await bob.queues.clean(ann.tag, lease.session)

    assert bob.events == []
    assert (await ann.settles(done(lease))).stale == ()


@pytest.mark.differs_on_rabbit("the broker cleans")
async def test_many_tasks_of_a_dead_session_are_taken_back_in_parts(ann, bob):
    await ann.puts(35)
    taken = await ann.takes(35)
    await ann.dies()

    part = await bob.place.claims.take_back(taken[0].session)
    await bob.queues.clean(ann.tag, taken[0].session)

    assert (part.tasks, part.left) == (10, 25)
    assert len(await bob.takes(50)) == 35


@pytest.mark.differs_on_rabbit("the broker blames all; see test_broker_rabbit")
async def test_who_has_not_begun_is_not_blamed(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.dies()
    await bob.queues.clean(ann.tag, lease.session)
    (suspect,) = await bob.takes()
    await bob.dies()

    await bob.queues.clean(bob.tag, suspect.session)

    cat = Party(ann.wire, "cat")
    (again,) = await cat.takes()
    assert again.crashes == 1
    assert await cat.place.claims.begin(again)
    await cat.dies()
    await cat.queues.clean(cat.tag, again.session)
    assert (await Party(ann.wire, "dan").takes())[0].crashes == 2


@pytest.mark.differs_on_rabbit("the first death is forgiven")
async def test_a_task_that_kills_every_worker_is_set_aside(ann):
    (task,) = await ann.puts()
    for turn in range(CONFIG.crash_budget):
        party = Party(ann.wire, f"p{turn}")
        (lease,) = await party.takes()
        assert lease.crashes == turn
        if turn:
            assert await party.place.claims.begin(lease)
        await party.dies()
        await ann.queues.clean(ann.tag, lease.session)

    (letter,) = await ann.place.dead_letters.list()

    assert (letter.id, letter.reason) == (task, "poison")
    assert await ann.takes() == []
    assert [e.reason for e in ann.events if isinstance(e, TaskDied)] == ["poison"]


@pytest.mark.differs_on_rabbit("there is no index")
async def test_the_index_has_a_session_as_long_as_it_has_claims(ann):
    await ann.puts()
    (lease,) = await ann.takes()
    assert await ann.is_indexed()

    await ann.settles(done(lease))
    await ann.place.claims.leave(lease.session)

    assert not await ann.is_indexed()


@pytest.mark.differs_on_rabbit("there is no index")
async def test_leaving_with_claims_keeps_the_index(ann):
    await ann.puts()
    (lease,) = await ann.takes()

    await ann.place.claims.leave(lease.session)

    assert await ann.is_indexed()


@pytest.mark.differs_on_rabbit("the broker cleans")
async def test_cleaning_removes_every_trace_of_the_session(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.dies()

    await bob.queues.clean(ann.tag, lease.session)

    index = await bob.wire.calls.command("SMEMBERS", bob.queues.index_key(bob.tag))
    assert lease.session.encode() not in index
    left = await bob.wire.calls.command("KEYS", f"{bob.tag}:*{lease.session}*")
    assert left == []


# -- the roll call ---------------------------------------------------------------------


@pytest.mark.differs_on_rabbit("claims are made in the worker")
async def test_a_claim_that_nobody_knows_of_goes_back(ann):
    await ann.puts(2)
    known, stranded = await ann.takes()

    answer = await ann.place.claims.roll_call(
        RollCall(known.session, [known.id], (1, 0), ["task"])
    )

    assert (answer.alive, answer.returned, answer.lost) == (True, 1, ())
    (again,) = await ann.takes()
    assert again.id == stranded.id
    assert not again.has_record


@pytest.mark.differs_on_rabbit("claims are made in the worker")
async def test_a_claim_in_an_answer_that_was_not_had_is_left_alone(ann):
    await ann.puts()
    (lease,) = await ann.takes()

    answer = await ann.place.claims.roll_call(RollCall(lease.session, [], (0, 0), []))

    assert answer.returned == 0
    assert (await ann.settles(done(lease))).stale == ()


@pytest.mark.differs_on_rabbit("claims are made in the worker")
async def test_a_roll_call_that_was_overtaken_does_nothing(ann):
    await ann.puts(2)
    (first,) = await ann.takes(1)
    await ann.takes(1)

    answer = await ann.place.claims.roll_call(RollCall(first.session, [], (0, 0), []))

    assert answer.returned == 0
    assert (await ann.broker.stats()).running[NORMAL] == 2


@pytest.mark.differs_on_rabbit("the broker cannot be asked")
async def test_a_task_that_the_server_does_not_know_is_named(ann):
    me = await ann.join()

    answer = await ann.place.claims.roll_call(RollCall(me, ["ghost"], (0, 0), []))

    assert answer.lost == ("ghost",)


@pytest.mark.differs_on_rabbit("workers do not know of each other")
async def test_names_of_living_workers_are_told(ann, bob):
    me, you = await ann.join(), await bob.join()
    await bob.place.claims.roll_call(RollCall(you, [], (0, 0), ["send", "pack"]))

    answer = await ann.place.claims.roll_call(RollCall(me, [], (0, 0), ["send"]))

    assert answer.names == {"send", "pack"}


async def test_the_roll_call_of_a_dead_session_does_nothing(ann):
    me = await ann.join()
    await ann.dies()

    answer = await ann.place.claims.roll_call(RollCall(me, ["x"], (0, 0), []))

    assert (answer.alive, answer.lost) == (False, ())


# -- waiting and cancelling ------------------------------------------------------------


@pytest.mark.differs_on_rabbit("nothing can be cancelled")
async def test_a_waiting_task_is_cancelled_at_once(ann):
    first, second = await ann.puts(2)

    assert await ann.broker.cancel(first) is TaskState.CANCELLED
    assert await ann.broker.cancel(first) is TaskState.CANCELLED

    assert [lease.id for lease in await ann.takes()] == [second]
    assert (await ann.place.results.find(first)).state is TaskState.CANCELLED
    assert "att" not in await ann.keys()


@pytest.mark.differs_on_rabbit("nothing can be cancelled")
async def test_a_delayed_task_is_cancelled_without_a_trace(ann):
    (task,) = await ann.puts(delay_s=60)

    assert await ann.broker.cancel(task) is TaskState.CANCELLED

    assert not await ann.keys() & {"job", "due", "att"}


@pytest.mark.differs_on_rabbit("nothing can be cancelled")
async def test_the_worker_of_a_running_task_is_told_to_stop_it(ann, bob):
    heard: list[bytes] = []
    await ann.wire.inbox.subscribe(ann.channel, heard.append)
    (task,) = await ann.puts()
    (lease,) = await ann.takes()

    assert await bob.broker.cancel(task) is TaskState.RUNNING

    await until(lambda: _is(heard, [f"c{QUEUE}\n{task}".encode()]))
    roll = RollCall(lease.session, [task], (1, 0), [])
    assert (await ann.place.claims.roll_call(roll)).unwanted == (task,)
    await ann.settles(Finished(lease, after_cancel(60.0)))
    assert (await ann.place.results.find(task)).state is TaskState.CANCELLED
    assert "stop" not in await ann.keys()


async def _is(heard: list[bytes], wanted: list[bytes]) -> bool:
    return heard == wanted


@pytest.mark.differs_on_rabbit("nothing can be cancelled")
async def test_what_is_over_or_unknown_is_not_cancelled(ann):
    (task,) = await ann.puts()
    (lease,) = await ann.takes()
    await ann.settles(done(lease))

    assert await ann.broker.cancel(task) is TaskState.DONE
    assert await ann.broker.cancel("nobody") is None


@pytest.mark.differs_on_rabbit("nothing can be cancelled")
async def test_an_id_cancelled_in_its_lane_may_be_enqueued_again_later(ann, wire):
    await ann.puts(ids=["a", "b"])
    await ann.broker.cancel("a")
    await wire.calls.command("DEL", f"{ann.tag}:j:{QUEUE}:res")

    assert await ann.broker.enqueue([Parcel("a", 1, 0, envelope(2))]) == [True]

    leases = await ann.takes()
    assert [(lease.id, lease.crashes) for lease in leases] == [("a", 0), ("b", 0)]
    assert await ann.takes() == []


@pytest.mark.differs_on_rabbit("there are no results")
async def test_who_waits_is_told_when_the_task_is_over(ann, bob):
    heard: list[bytes] = []
    await bob.wire.inbox.subscribe(bob.channel, heard.append)
    first, second = await ann.puts(2)
    for task in (first, first, second):
        found = await bob.place.results.find(task, tell=bob.channel)
        assert found.state is TaskState.QUEUED

    leases = await ann.takes()
    await ann.settles(done(leases[0]), died(leases[1]))

    told = [b"d" + first.encode(), b"d" + second.encode()]
    await until(lambda: _is(sorted(heard), sorted(told)))
    assert "wait" not in await ann.keys()


@pytest.mark.differs_on_rabbit(
    "tasks come one by one, and so do bells", also_with_redis=True
)
async def test_idle_workers_are_rung_one_for_eight_tasks(ann, bob):
    heard: list[bytes] = []
    for party in (ann, bob):
        await party.wire.inbox.subscribe(party.channel, heard.append)
        assert (await party.exchange(8, bell=True)).is_short

    await ann.puts(3)
    await until(lambda: _is(heard, [b"w" + QUEUE.encode()]))
    await ann.puts(3)

    await until(lambda: _is(heard, [b"w" + QUEUE.encode()] * 2))
    assert not await ann.keys() & {"bell", "bellh"}


@pytest.mark.differs_on_rabbit("the broker sends tasks, not bells")
async def test_a_bell_of_a_dead_process_is_passed_over(ann, bob):
    heard: list[bytes] = []
    await ann.exchange(8, bell=True)
    await bob.wire.inbox.subscribe(bob.channel, heard.append)
    await bob.exchange(8, bell=True)

    await ann.puts(1)
    await ann.puts(1)

    await until(lambda: _is(heard, [b"w" + QUEUE.encode()]))


@pytest.mark.differs_on_rabbit("the broker sends tasks, not bells")
async def test_who_has_room_for_urgent_tasks_only_is_rung_for_those_only(ann):
    heard: list[bytes] = []
    await ann.wire.inbox.subscribe(ann.channel, heard.append)
    await ann.exchange(2, others=0, bell=True)

    await ann.puts(1, lane=1)
    assert "bellh" in await ann.keys()
    await ann.puts(1, lane=0)

    await until(lambda: _is(heard, [b"w" + QUEUE.encode()]))


@pytest.mark.differs_on_rabbit("the broker sends tasks, not bells")
async def test_nobody_is_rung_for_a_lane_that_is_shed(ann):
    await ann.place.admin.shed(1)
    await ann.exchange(8, bell=True)

    await ann.puts(1, lane=2)

    assert "bell" in await ann.keys()


@pytest.mark.differs_on_rabbit("the broker sends tasks, not bells")
async def test_a_delayed_task_rings_only_if_it_is_due_first(ann):
    heard: list[bytes] = []
    await ann.wire.inbox.subscribe(ann.channel, heard.append)
    await ann.puts(delay_s=50)
    await ann.exchange(8, bell=True)

    await ann.puts(delay_s=60)
    assert "bell" in await ann.keys()
    await ann.puts(delay_s=40)

    await until(lambda: _is(heard, [b"w" + QUEUE.encode()]))


# -- dead letters and looking ----------------------------------------------------------


async def test_dead_letters_are_listed_replayed_and_purged(ann):
    ids = await ann.puts(3, lane=2)
    leases = await ann.takes()
    await ann.settles(*map(died, leases))

    letters = await ann.place.dead_letters.list(most=2)
    assert len(letters) == 2
    assert {letter.reason for letter in letters} == {"given_up"}
    assert letters[0].payload in ids
    assert letters[0].priority is LOW
    assert (letters[0].name, letters[0].error) == ("task", "enough")

    assert await ann.place.dead_letters.replay([ids[0], "nobody"]) == 1
    assert [lease.id for lease in await ann.takes()] == [ids[0]]
    assert await ann.place.dead_letters.purge([ids[1]]) == 1
    assert await ann.place.dead_letters.replay() == 1
    assert await ann.place.dead_letters.list() == ()
    assert (await ann.takes())[0].lane == 2


@pytest.mark.differs_on_rabbit("there are no states of single tasks")
async def test_a_dead_task_is_not_put_in_again_and_says_why_it_died(ann):
    await ann.puts(ids=["a"])
    (lease,) = await ann.takes()
    await ann.settles(died(lease))

    assert await ann.broker.enqueue([Parcel("a", 1, 0, envelope(1))]) == [False]
    found = await ann.place.results.find("a")
    assert found.state is TaskState.DEAD
    assert b"enough" in found.body
    assert await ann.broker.cancel("a") is TaskState.DEAD


async def test_replay_and_purge_of_all_go_on_past_one_part(ann):
    await ann.puts(250)
    await ann.settles(*map(died, await ann.takes(250)))

    assert await ann.place.dead_letters.replay() == 250
    await ann.settles(*map(died, await ann.takes(250)))
    assert await ann.place.dead_letters.purge() == 250
    assert not await ann.keys() & {"job", "err", "dead", "att"}


@pytest.mark.differs_on_rabbit("there are no states of single tasks")
async def test_only_so_many_dead_letters_are_kept(wire):
    party = Party(wire, "ann", replace(CONFIG, dead_letters_max=2))
    ids = await party.puts(5)
    await party.settles(*map(died, await party.takes()))

    letters = {letter.id for letter in await party.place.dead_letters.list()}

    assert len(letters) == 2
    states = [(await party.place.results.find(task)).state for task in ids]
    assert states == [TaskState.DEAD if task in letters else None for task in ids]


async def test_an_unreadable_envelope_is_listed_without_a_payload(ann):
    await ann.broker.enqueue([Parcel("a", 1, 0, b"\xff\x00 nothing")])
    (lease,) = await ann.takes()
    await ann.settles(died(lease))

    (letter,) = await ann.place.dead_letters.list()

    assert (letter.name, letter.payload) == ("", None)


@pytest.mark.differs_on_rabbit("the age of a waiting task is not told")
async def test_stats_count_every_place(ann):
    await ann.puts(2, lane=0)
    await ann.puts(2, lane=1)
    await ann.puts(1, delay_s=60)
    taken = await ann.takes(1, takes=(0, 1, 0))
    urgent = await ann.takes(1, takes=(1, 0, 0))
    await ann.settles(died(urgent[0]))

    stats = await ann.broker.stats()

    assert stats.ready == {HIGH: 1, NORMAL: 1, LOW: 0}
    assert stats.running == {HIGH: 0, NORMAL: 1, LOW: 0}
    assert (stats.scheduled, stats.dead, stats.depth) == (1, 1, 2)
    assert stats.oldest_age_s[HIGH] is not None
    assert stats.oldest_age_s[LOW] is None
    assert taken[0].lane == 1


@pytest.mark.differs_on_rabbit("there are no states of single tasks")
async def test_it_can_be_explained_where_a_task_is(ann):
    admin = ann.place.admin
    first, second = await ann.puts(2)
    (later,) = await ann.puts(delay_s=60)

    assert "1 task(s) wait before it" in (await admin.explain(second)).why
    assert (await admin.explain(later)).state is TaskState.SCHEDULED
    await admin.shed(2)
    assert "shed level 2" in (await admin.explain(second)).why
    await admin.pause(paused=True)
    assert "paused" in (await admin.explain(second)).why
    await admin.pause(paused=False)
    await admin.shed(0)
    (lease,) = await ann.takes(1)
    assert await ann.place.claims.report(lease, "50% half")
    told = await admin.explain(first)
    assert (told.state, told.progress) == (TaskState.RUNNING, "50% half")
    await ann.settles(failed(lease, Chance(1)))
    assert (await admin.explain(first)).attempt == 2
    assert await admin.explain("nobody") is None


@pytest.mark.differs_on_rabbit("progress is not kept")
async def test_a_report_on_a_task_that_is_not_ours_is_refused(ann, bob):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.dies()

    assert not await ann.place.claims.report(lease, "50%")
    assert not await ann.place.claims.begin(lease)


@pytest.mark.differs_on_rabbit("there is no audit")
async def test_an_audit_puts_back_what_is_in_no_place(ann, wire):
    await ann.puts(3, ids=["a", "b", "c"])
    await wire.calls.command("LREM", f"{ann.tag}:j:{QUEUE}:r1", 1, "b")
    (lease,) = await ann.takes(1)

    audit = await ann.place.admin.audit()

    assert (audit.looked_at, audit.repaired) == (3, ("b",))
    assert (await ann.place.admin.audit()).repaired == ()
    assert {each.id for each in await ann.takes()} == {"b", "c"}
    assert (await ann.settles(done(lease))).stale == ()


@pytest.mark.differs_on_rabbit("there is no audit")
async def test_an_audit_finds_claims_of_the_dead_that_no_index_names(ann, bob, wire):
    await ann.puts()
    (lease,) = await ann.takes()
    await ann.dies()
    await wire.calls.command("DEL", f"{ann.tag}:j:{QUEUE}:mine:{lease.session}")

    audit = await bob.place.admin.audit()

    assert audit.repaired == (lease.id,)
    assert [each.id for each in await bob.takes()] == [lease.id]


async def test_two_queues_never_share_a_key(ann, wire):
    other = ann.queues.place("work:r1")
    await ann.puts(1)
    await other.broker.enqueue([Parcel("x", 1, 0, envelope(1))])

    assert (await ann.broker.stats()).depth == 1
    assert (await other.broker.stats()).depth == 1
