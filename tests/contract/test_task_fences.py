"""What a handler writes carries its task's token by itself, and is checked there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.backend import Backend
from quorate.config.manager import ConfigManager
from quorate.config.redis import RedisConfigStore
from quorate.core.errors import SessionLostError, StaleTokenError
from quorate.core.fence import TaskFence, current_fence
from quorate.lease.lease import LeaseTerms
from quorate.queue.context import TaskContext
from quorate.queue.events import TasksTakenBack
from quorate.queue.manager import QueueManager
from quorate.queue.model import QueueConfig
from quorate.testing.heard import Heard
from quorate.wire.sessions import RedisSessions

WITHIN_S = 10.0
CONFIG = QueueConfig(grace_s=0.5, poll_s=0.2)


@pytest.fixture
async def backend(
    redis_url: str, namespace: str, heard: Heard
) -> AsyncIterator[Backend]:
    terms = LeaseTerms(ttl_s=2.0, renew_every_s=0.3, retry_every_s=0.1)
    backend = Backend(redis_url, namespace=namespace, terms=terms, emit=heard.emit)
    async with backend:
        yield backend


@pytest.fixture
async def queue(backend: Backend) -> AsyncIterator[QueueManager]:
    async with QueueManager(backend, CONFIG) as queue:
        yield queue


@pytest.fixture
async def config(backend: Backend) -> AsyncIterator[ConfigManager]:
    store = RedisConfigStore(backend.wire, backend.session)
    async with ConfigManager(store) as config:
        yield config


async def test_the_token_of_a_task_is_the_fence_of_its_handler(queue):
    async def look(_payload: None, context: TaskContext) -> list[object]:
        fence = current_fence()
        return [fence.token == context.token, fence.name == context.task_id]

    def look_in_a_thread(_payload: None, context: TaskContext) -> bool:
        return current_fence().token == context.token

    await queue.register_task_handler("look", look)
    await queue.register_task_handler("thread", look_in_a_thread)
    await queue.start_workers(in_process=True)

    assert await queue.result(await queue.enqueue_task("look")) == [True, True]
    assert await queue.result(await queue.enqueue_task("thread")) is True
    assert current_fence() is None


async def test_a_handler_that_has_lost_its_task_can_write_no_more(
    queue, config, backend, heard
):
    """It goes on although it was told to stop; whoever has the task now is not hurt."""
    began, told, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    came = []

    async def stubborn(_payload: None) -> None:
        if began.is_set():
            await config.set("made.by", "the second")
            return
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
        await go_on.wait()
        for write in (
            config.set("made.by", "the first"),
            queue.enqueue_task("never"),
            queue.enqueue_many([]),
        ):
            try:
                await write
            except (SessionLostError, StaleTokenError) as error:
                came.append(type(error))

    await queue.register_task_handler("stubborn", stubborn)
    await queue.start_workers(in_process=True)
    task = await queue.enqueue_task("stubborn", timeout_s=30.0)
    await asyncio.wait_for(began.wait(), WITHIN_S)

    tag = queue.place().tag
    lost = backend.session.name_in(tag)
    await RedisSessions(backend.wire.calls).end(tag, lost)
    backend.sweeper.look_in(tag, 0.0)
    await heard(TasksTakenBack, within_s=WITHIN_S)
    await asyncio.wait_for(told.wait(), WITHIN_S)
    go_on.set()

    async with asyncio.timeout(WITHIN_S):
        while not came or config.get("made.by", "") != "the second":
            await asyncio.sleep(0.01)
    assert set(came) <= {SessionLostError, StaleTokenError}
    # Where the configuration lies under another tag, as on a Cluster, it cannot know of
    # the loss before it has seen the token of the next one, who comes later here.
    assert len(came) == (2 if backend.wire.keys.config_tag == tag else 1)
    await queue.result(task, wait_s=WITHIN_S)
    assert (await queue.stats()).depth == 0


async def test_handlers_of_one_worker_share_their_calls(queue):
    """Enqueueing in many handlers at once is as cheap as outside of them."""
    inside = asyncio.Event()
    count = 0

    async def fan_out(number: int) -> None:
        nonlocal count
        count += 1
        if count == 20:
            inside.set()
        await inside.wait()
        await queue.enqueue_task("leaf", number, queue="elsewhere")

    await queue.register_task_handler("fan_out", fan_out)
    ids = [await queue.enqueue_task("fan_out", number) for number in range(20)]
    await queue.start_workers(in_process=True)
    broker, calls = queue.place("elsewhere").broker, []
    real = broker.enqueue

    async def enqueue(parcels, fence=None):
        calls.append((len(parcels), fence))
        return await real(parcels, fence)

    broker.enqueue = enqueue
    for task in ids:
        await queue.result(task, wait_s=WITHIN_S)

    assert sum(size for size, _ in calls) == 20
    assert len(calls) < 5
    assert all(isinstance(fence, TaskFence) for _, fence in calls)
