"""Elections over every server: one leader, growing terms, news of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process, until

from quorate.core.errors import DeadlockError, LockLostError, LockNotGranted
from quorate.locks.election import Election, Leadership
from quorate.locks.model import Leader


@pytest.fixture
async def place(redis_url: str, namespace: str) -> AsyncIterator[Place]:
    place = Place(redis_url, namespace)
    yield place
    await place.close()


@pytest.fixture
async def ann(place: Place) -> Process:
    return await place.process()


@pytest.fixture
async def bob(place: Place) -> Process:
    return await place.process()


class Candidate:
    """A task that campaigns, and leads until it is told to stop."""

    def __init__(self, election: Election) -> None:
        self.leads, self._stop = asyncio.Event(), asyncio.Event()
        self.leadership: Leadership | None = None
        self.task = asyncio.ensure_future(self._work(election))

    async def _work(self, election: Election) -> None:
        async with election.campaign() as self.leadership:
            self.leads.set()
            await self._stop.wait()

    async def leading(self) -> Leadership:
        async with asyncio.timeout(5):
            await self.leads.wait()
        assert self.leadership is not None
        return self.leadership

    async def stops(self) -> None:
        self._stop.set()
        await self.task


async def stand(election: Election, *names: str) -> None:
    async def is_so() -> bool:
        return await election.candidates() == names

    await until(is_so)


async def test_one_leads_at_a_time_and_terms_grow(ann, bob):
    here, there = ann.locks.election("boss", "ann"), bob.locks.election("boss", "bob")
    first = Candidate(here)
    term = (await first.leading()).term
    second = Candidate(there)
    await stand(here, "bob")

    found = await there.leader()
    assert found is not None
    assert (found.election, found.term, found.candidate) == ("boss", term, "ann")
    assert not second.leads.is_set()
    await first.stops()

    assert (await second.leading()).term > term
    await second.stops()
    assert await here.leader() is None
    assert not await ann.locks.ls()


async def test_leading_costs_one_request_and_one_to_stop(ann):
    election = ann.locks.election("boss")
    async with election.campaign():
        pass
    before = ann.requests

    async with election.campaign() as leadership:
        assert ann.requests - before == 1
        leadership.check()
        assert leadership.valid_for() > 0

    assert ann.requests - before == 2


async def test_candidates_of_one_process_take_turns_too(ann):
    first = Candidate(ann.locks.election("boss", "one"))
    term = (await first.leading()).term
    second = Candidate(ann.locks.election("boss", "two"))
    await stand(ann.locks.election("boss"), "two")

    await first.stops()

    assert (await second.leading()).term > term
    await second.stops()


async def test_who_only_tries_is_told_that_another_leads(ann, bob):
    first = Candidate(ann.locks.election("boss", "ann"))
    await first.leading()

    with pytest.raises(LockNotGranted, match="'boss'"):
        async with bob.locks.election("boss", "bob").campaign(wait_s=0):
            pass

    await first.stops()


async def test_an_observer_hears_of_each_leader_in_order(ann, bob):
    seen: asyncio.Queue[Leader | None] = asyncio.Queue()

    async def observes() -> None:
        async for leader in bob.locks.election("boss").observe():
            seen.put_nowait(leader)

    observing = asyncio.ensure_future(observes())
    async with asyncio.timeout(5):
        assert await seen.get() is None
        first = Candidate(ann.locks.election("boss", "ann"))
        leader = await seen.get()
        assert leader is not None
        assert leader.candidate == "ann"
        assert leader.term == (await first.leading()).term

        second = Candidate(bob.locks.election("boss", "bob"))
        await stand(ann.locks.election("boss"), "bob")
        await first.stops()
        leader = await seen.get()
        assert leader is not None
        assert leader.candidate == "bob"

        await second.leading()
        await second.stops()
        assert await seen.get() is None
    observing.cancel()
    await asyncio.wait({observing})


async def test_who_resigns_leads_no_more_and_the_next_does(ann, bob):
    second = None
    async with ann.locks.election("boss", "ann").campaign() as leadership:
        second = Candidate(bob.locks.election("boss", "bob"))
        await stand(ann.locks.election("boss"), "bob")

        await leadership.resign()

        with pytest.raises(LockLostError):
            leadership.check()
        assert (await second.leading()).term > leadership.term
    await second.stops()
    assert not await ann.locks.ls()


async def test_another_task_lets_a_leader_resign_by_stopping_it(ann):
    first = Candidate(ann.locks.election("boss", "ann"))
    leadership = await first.leading()

    await leadership.resign()

    with pytest.raises(LockLostError, match="given up"):
        await asyncio.wait_for(first.task, 5)
    assert await ann.locks.election("boss").leader() is None


async def test_leadership_goes_to_whom_it_is_transferred(place, ann, bob):
    cid = await place.process()
    async with ann.locks.election("boss", "ann").campaign() as leadership:
        second = Candidate(bob.locks.election("boss", "bob"))
        await stand(ann.locks.election("boss"), "bob")
        third = Candidate(cid.locks.election("boss", "cid"))
        await stand(ann.locks.election("boss"), "bob", "cid")
        with pytest.raises(LockNotGranted, match="'dan' cannot lead"):
            await leadership.transfer("dan")
        leadership.check()

        await leadership.transfer("cid")

        await third.leading()
        assert not second.leads.is_set()
    await third.stops()
    await second.leading()
    await second.stops()


async def test_a_leader_that_is_lost_is_stopped_and_the_next_leads(ann, bob):
    first = Candidate(ann.locks.election("boss", "ann"))
    term = (await first.leading()).term
    second = Candidate(bob.locks.election("boss", "bob"))
    await stand(bob.locks.election("boss"), "bob")

    await ann.dies_on_the_server()

    assert (await second.leading()).term > term
    with pytest.raises(LockLostError):
        await asyncio.wait_for(first.task, 5)
    await second.stops()


async def test_a_candidate_that_leads_already_is_told_so_by_the_office_s_name(ann):
    election = ann.locks.election("boss", candidate="ann")

    async with election.campaign():
        with pytest.raises(DeadlockError, match="The lock 'boss' would wait"):
            async with election.campaign():
                pytest.fail("it leads twice")
