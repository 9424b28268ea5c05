"""Writes inside a lock carry its token: whoever was overtaken is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from quorate.backend import Backend
from quorate.config.manager import ConfigManager
from quorate.config.redis import RedisConfigStore
from quorate.core.errors import SessionLostError, StaleTokenError
from quorate.core.fence import Fence, current_fence, enter_fence, leave_fence
from quorate.lease.lease import LeaseTerms
from quorate.locks.manager import LockManager
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.registry.manager import ServiceRegistry
from quorate.registry.model import AdminState, ServiceInfo

TERMS = LeaseTerms(ttl_s=6.0, renew_every_s=1.0, retry_every_s=0.2, max_stall_s=5.0)


class Process:
    """Locks, a queue, a registry and configuration on one session."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.locks = LockManager.over(backend.wire, backend.session)
        self.queue = QueueManager(backend, QueueConfig(queues=("work",)))
        self.registry = ServiceRegistry(backend)
        self.config = ConfigManager(RedisConfigStore(backend.wire, backend.session))

    async def start(self) -> None:
        for each in (self.locks, self.queue, self.registry, self.config):
            await each.start()

    async def stop(self) -> None:
        for each in (self.config, self.registry, self.queue, self.locks):
            await each.stop()

    async def enqueues(self) -> None:
        await self.queue.enqueue_task("work", {}, queue="work")

    async def drains(self) -> None:
        await self.registry.set_admin("orders-1", AdminState.DRAINING, service="orders")

    async def sets(self) -> None:
        await self.config.set("limits.rate", 5)


NewProcess = Callable[[], Awaitable[Process]]
WRITES = (Process.enqueues, Process.drains, Process.sets)
writes = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)


@pytest.fixture
async def process(redis_url: str, namespace: str) -> AsyncIterator[NewProcess]:
    open_: list[Process] = []

    async def new() -> Process:
        backend = Backend(redis_url, namespace=namespace, terms=TERMS)
        await backend.start()
        open_.append(process := Process(backend))
        await process.start()
        return process

    yield new
    for one in open_:
        await one.stop()
        await one.backend.stop()


@pytest.fixture
async def ann(process: NewProcess) -> Process:
    ann = await process()
    await ann.registry.register(ServiceInfo("orders-1", "orders", "http://10.0.0.1:80"))
    return ann


@pytest.fixture
async def bob(process: NewProcess) -> Process:
    return await process()


@contextmanager
def under(fence: Fence) -> Iterator[None]:
    """Act as who once had this grant, and does not know that it is over."""
    before = enter_fence(fence)
    try:
        yield
    finally:
        leave_fence(before)


async def grant_of(process: Process, name: str = "boss") -> Fence:
    async with process.locks.acquire_lock(name) as grant:
        return grant.fence


@writes
async def test_who_was_overtaken_is_refused(ann, bob, write):
    old, new = await grant_of(ann), await grant_of(bob)
    with under(old):
        await write(ann)
    with under(new):
        await write(bob)
        await write(bob)

    with under(old), pytest.raises(StaleTokenError):
        await write(ann)


@writes
async def test_the_lock_hands_its_token_to_the_write_by_itself(ann, bob, write):
    old = await grant_of(ann)
    async with bob.locks.acquire_lock("boss"):
        await write(bob)

    with under(old), pytest.raises(StaleTokenError):
        await write(ann)


@writes
async def test_who_led_before_is_refused_by_the_name_of_the_election(ann, bob, write):
    async with ann.locks.election("boss").campaign():
        old = current_fence()
        await write(ann)
    async with bob.locks.election("boss").campaign():
        await write(bob)

    assert old is not None
    with under(old), pytest.raises(StaleTokenError, match="'boss'"):
        await write(ann)
    async with ann.locks.acquire_lock("boss"):  # another thing of the same name
        await write(ann)


@writes
async def test_a_later_holder_that_has_not_written_refuses_nobody(ann, bob, write):
    old = await grant_of(ann)
    await grant_of(bob)

    with under(old):
        await write(ann)


@writes
async def test_grants_of_other_names_and_writes_without_one_are_free(ann, bob, write):
    old = await grant_of(ann)
    with under(await grant_of(bob)):
        await write(bob)

    await write(ann)
    with under(await grant_of(ann, "other")):
        await write(ann)
    with under(old), pytest.raises(StaleTokenError):
        await write(ann)


@writes
async def test_a_stale_task_of_the_same_process_is_refused_too(ann, write):
    first, second = asyncio.Event(), asyncio.Event()
    tokens: list[int] = []

    async def holds(entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with ann.locks.acquire_lock("boss") as grant:
            tokens.append(grant.token)
            entered.set()
            await leave.wait()
            late.append(grant.fence)

    late: list[Fence] = []
    inside = asyncio.Event()
    one = asyncio.ensure_future(holds(inside, first))
    await inside.wait()
    two = asyncio.ensure_future(holds(asyncio.Event(), second))
    while ann.locks.stats().waiting < 1:
        await asyncio.sleep(0)
    first.set()
    await one
    second.set()
    await two

    assert tokens[1] == tokens[0] + 1  # handed on inside the process, in one block
    with under(late[1]):
        await write(ann)
    old = Fence("boss", tokens[0], late[0].session, late[0].tag)
    with under(old), pytest.raises(StaleTokenError):
        await write(ann)


@pytest.mark.parametrize("write", [Process.enqueues, Process.sets])
async def test_who_lost_its_session_is_refused_even_before_anybody_else(ann, write):
    if ann.backend.wire.keys.is_spread:
        pytest.skip("In a Cluster the lock and the store lie apart: the token decides.")
    old = await grant_of(ann)
    (member,) = [m for m in ann.backend.session.memberships() if m.tag == old.tag]
    await ann.backend.session._store.end(member.tag, member.name)

    with under(old), pytest.raises(SessionLostError):
        await write(ann)


async def test_a_task_that_is_in_already_is_no_stale_write(ann, bob):
    old = await grant_of(ann)
    with under(old):
        await ann.queue.enqueue_task("work", {}, queue="work", task_id="t1")
    with under(await grant_of(bob)):
        await bob.enqueues()

    with under(old):
        again = await ann.queue.enqueue_task("work", {}, queue="work", task_id="t1")

    assert again == "t1"


async def test_callers_of_one_turn_under_different_grants_are_told_apart(ann, bob):
    old, new = await grant_of(ann), await grant_of(ann)

    async def enqueues(fence: Fence | None) -> BaseException | None:
        try:
            if fence is None:
                await ann.enqueues()
            else:
                with under(fence):
                    await ann.enqueues()
        except StaleTokenError as error:
            return error
        return None

    with under(new):
        await ann.enqueues()
    told = await asyncio.gather(enqueues(old), enqueues(None), enqueues(new))

    assert [type(each) for each in told] == [StaleTokenError, type(None), type(None)]


@pytest.mark.parametrize(
    ("write", "base"),
    [
        (Process.enqueues, lambda keys: f"{keys.queue_tag('work')}:j:work:"),
        (Process.drains, lambda keys: f"{keys.registry_tag}:r:"),
        (Process.sets, lambda keys: f"{keys.config_tag}:cfg:"),
    ],
    ids=["enqueues", "drains", "sets"],
)
async def test_what_has_not_written_for_a_day_is_forgotten(ann, write, base):
    call, base = ann.backend.wire.calls.command, base(ann.backend.wire.keys)
    with under(await grant_of(ann, "old")):
        await write(ann)
    assert await call("ZADD", f"{base}fencet", 1, "old") == 0

    with under(await grant_of(ann, "new")):
        await write(ann)

    assert await call("HKEYS", f"{base}fence") == [b"new"]
