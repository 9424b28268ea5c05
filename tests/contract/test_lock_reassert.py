"""What a server takes up again of what it has forgotten, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.lock_place import Place, Process
from tests.servers import Server

from quorate.core.errors import LockLostError, MissingCapability
from quorate.locks.answers import Held
from quorate.locks.events import LocksReasserted
from quorate.locks.model import ELECTION, SEMAPHORE, LockConfig, LockType
from quorate.locks.roll_call import _facts
from quorate.locks.store import RollStore
from quorate.wire.keys import plain

SHARED = LockType.SHARED


@pytest.fixture
async def place(server: Server, namespace: str) -> AsyncIterator[Place]:
    place = Place(server.url, namespace)
    yield place
    await place.close()


class Forgetful:
    """A server that loses locks as a failover would."""

    def __init__(self, server: Server, namespace: str) -> None:
        self._admin = server.admin
        self._room = f"{{{namespace}}}:l:"

    def state(self, name: str) -> dict[bytes, bytes]:
        found = self._admin.hgetall(f"{self._room}h:{plain(name)}")
        return dict(found)  # type: ignore[arg-type]

    def back_to(self, name: str, state: dict[bytes, bytes]) -> None:
        key = f"{self._room}h:{plain(name)}"
        self._admin.delete(key, *self._admin.keys(f"{self._room}i:*"))  # type: ignore[misc]
        if state:
            self._admin.hset(key, mapping=state)  # type: ignore[arg-type]


@pytest.fixture
def forgetful(server: Server, namespace: str) -> Forgetful:
    return Forgetful(server, namespace)


async def told(process: Process) -> list[bool]:
    """What the server says of all that the process holds."""
    desk = process.locks._open_desk()
    store = process.locks._store
    assert isinstance(store, RollStore)
    now = process.backend.clock.monotonic()
    held: list[Held] = [_facts(hold, now) for hold in desk.holdings.all()]
    [member] = process.backend.session.memberships()
    return await store.reassert(member.tag, member.name, held)


async def test_a_forgotten_hold_is_taken_up_again_with_its_own_token(
    place: Place, forgetful: Forgetful
) -> None:
    first, second = await place.process(), await place.process()
    async with first.locks.acquire_lock("a", label="work") as grant:
        forgetful.back_to("a", {})

        assert await told(first) == [True]

        [holder] = (await second.locks.explain("a")).holders
        assert (holder.token, holder.label) == (grant.token, "work")
    async with second.locks.acquire_lock("a") as later:
        assert later.token > grant.token + 31
    assert await first.locks.ls() == []


async def test_who_was_granted_it_later_keeps_it(
    place: Place, forgetful: Forgetful
) -> None:
    first, second = await place.process(), await place.process()
    with pytest.raises(LockLostError):
        async with first.locks.acquire_lock("a", on_loss="flag"):
            forgetful.back_to("a", {})
            async with second.locks.acquire_lock("a") as later:
                assert await told(first) == [False]
                assert (await first.locks.explain("a")).token >= later.token


async def test_a_holder_from_before_is_over_once_a_later_one_says_so(
    place: Place, forgetful: Forgetful
) -> None:
    first, second = await place.process(), await place.process()
    async with first.locks.acquire_lock("a"):
        before = forgetful.state("a")
    async with second.locks.acquire_lock("a") as grant:
        forgetful.back_to("a", before)

        assert await told(second) == [True]

        found = await first.locks.explain("a")
        assert [holder.token for holder in found.holders] == [grant.token]


async def test_readers_come_back_one_by_one_and_after_the_writer_before_them(
    place: Place, forgetful: Forgetful
) -> None:
    processes = [await place.process() for _ in range(3)]
    async with processes[2].locks.acquire_lock("a"):
        before = forgetful.state("a")
    first, second = (p.locks.acquire_lock("a", SHARED) for p in processes[:2])
    async with first, second:
        forgetful.back_to("a", before)

        assert await told(processes[0]) == [True]
        assert await told(processes[1]) == [True]

        found = await processes[2].locks.explain("a")
        assert len(found.holders) == 2
        assert {holder.lock_type for holder in found.holders} == {SHARED}


async def test_a_reader_that_became_the_writer_is_the_writer_again(
    place: Place, forgetful: Forgetful
) -> None:
    first, second = await place.process(), await place.process()
    async with first.locks.acquire_lock("a", SHARED) as grant:
        before = forgetful.state("a")
        await grant.upgrade()
        forgetful.back_to("a", before)

        assert await told(first) == [True]

        [holder] = (await second.locks.explain("a")).holders
        assert holder.lock_type is LockType.EXCLUSIVE
        assert holder.token == grant.token


async def test_permits_and_terms_come_back_too(
    place: Place, forgetful: Forgetful
) -> None:
    first, second = await place.process(), await place.process()
    permits = first.locks.semaphore("s", 3)
    async with permits.acquire(2), first.locks.election("e", "one").campaign():
        for name in (SEMAPHORE + "s", ELECTION + "e"):
            forgetful.back_to(name, {})

        assert await told(first) == [True, True]

        leader = await second.locks.election("e", "two").leader()
        assert leader is not None
        assert leader.candidate == "one"
        assert await second.locks.semaphore("s", 3).set_permits(3) == 2
    assert await second.locks.semaphore("s", 3).set_permits(3) == 0


async def test_a_session_that_is_over_takes_up_nothing(
    place: Place, forgetful: Forgetful
) -> None:
    process = await place.process()
    with pytest.raises(LockLostError):
        async with process.locks.acquire_lock("a", on_loss="flag"):
            await process.dies_on_the_server()
            forgetful.back_to("a", {})
            assert await told(process) == [False]


async def test_after_a_lost_connection_it_is_all_done_by_itself(
    place: Place, forgetful: Forgetful
) -> None:
    process = await place.process()
    async with process.locks.acquire_lock("a") as grant:
        forgetful.back_to("a", {})

        process.locks._roll_call.doubt()  # type: ignore[union-attr]

        told = await process.heard(LocksReasserted, within_s=5)
        assert (told.told, told.lost) == (1, 0)
        [holder] = (await process.locks.explain("a")).holders
        assert holder.token == grant.token


async def test_memory_cannot_be_strict(namespace: str) -> None:
    place = Place(f"memory://{namespace}", namespace)

    with pytest.raises(MissingCapability, match="cannot be strict"):
        await place.process(config=LockConfig(strict=True))
    await place.close()
