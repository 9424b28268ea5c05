"""L9: a cancellation at every await of taking and giving back a lock.

A story is run once to count the steps of its task, and then once for each step, with a
cancel delivered while the task waits there, and once more with the cancel and what it
waited for arriving together. After each the cancellation must have come out, the lock
must be free for the next, and the connection must answer its next command itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.faults.lock_bugs import plant
from tests.faults.stage import Result, Stage, claimed
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks.desk import LockDesk
from quorate.locks.manager import LockManager
from quorate.locks.model import LockType
from quorate.testing.verdict import Verdict

When = Literal["waiting", "arriving"]

TERMS = LeaseTerms(ttl_s=5.0, renew_every_s=1.0)
NAMESPACE = "cancelling"
ENDS_WITHIN_S = 15.0
MOST_STEPS = 100
MOST_FAULTS = 20
MISSED = "not so many steps this time"


class Steps:
    """Runs a coroutine and counts where it waits; cancels its task at one place."""

    def __init__(self, cancel_at: int = 0, when: When = "waiting") -> None:
        self.count = 0
        self.cancel_at = cancel_at
        self._when = when

    @types.coroutine
    def run(self, story: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        sent: BaseException | None = None
        while True:
            try:
                waits_for = story.throw(sent) if sent else story.send(None)
            except StopIteration:
                return
            sent = None
            self.count += 1
            if self.count == self.cancel_at:
                self._cancel(task, waits_for)
            try:
                yield waits_for
            except BaseException as error:
                sent = error

    def _cancel(self, task: asyncio.Task[Any], waits_for: object) -> None:
        loop = asyncio.get_running_loop()
        if self._when == "arriving" and isinstance(waits_for, asyncio.Future):
            # Added before the callback by which the task goes on, so it comes first.
            waits_for.add_done_callback(lambda _: task.cancel())
        else:
            loop.call_soon(task.cancel)


@dataclass(frozen=True, slots=True)
class Place:
    """Two processes' worth of locks over one server, in this process."""

    server: Server
    backend: Backend
    ours: LockManager
    theirs: LockManager
    others: list[asyncio.Task[None]] = field(default_factory=list)
    """Those who act beside the story; each must come to its end."""


Story = Callable[[Place, str], Awaitable[None]]


async def free(place: Place, name: str) -> None:
    async with place.ours.acquire_lock(name):
        await asyncio.sleep(0)


async def free_with_an_end(place: Place, name: str) -> None:
    async with place.ours.acquire_lock(name, timeout_s=60.0):
        pass


async def shared(place: Place, name: str) -> None:
    async with place.ours.acquire_lock(name, LockType.SHARED):
        pass


async def entered_again(place: Place, name: str) -> None:
    async with (
        place.ours.acquire_lock(name, LockType.REENTRANT),
        place.ours.acquire_lock(name, LockType.REENTRANT),
    ):
        await asyncio.sleep(0)


async def decorated(place: Place, name: str) -> None:
    @place.ours.with_lock("{name}", wait_s=12.0)
    async def work(name: str) -> None:
        await asyncio.sleep(0)

    await work(name)


async def behind_another_process(place: Place, name: str) -> None:
    async with (
        _held_until_asked(place, place.theirs, name),
        place.ours.acquire_lock(name, wait_s=12.0),
    ):
        pass


async def behind_another_task(place: Place, name: str) -> None:
    async with (
        _held_until_asked(place, place.ours, name),
        place.ours.acquire_lock(name, wait_s=12.0),
    ):
        pass


async def before_another_process(place: Place, name: str) -> None:
    """Somebody waits for what is given back here."""
    async with place.ours.acquire_lock(name):
        place.others.append(asyncio.ensure_future(_take(place.theirs, name)))
        await asyncio.sleep(0.005)


STORIES: tuple[Story, ...] = (
    free, free_with_an_end, shared, entered_again, decorated,
    behind_another_process, behind_another_task, before_another_process,
)  # fmt: skip


async def _take(locks: LockManager, name: str) -> None:
    async with locks.acquire_lock(name, wait_s=ENDS_WITHIN_S):
        pass


@contextlib.asynccontextmanager
async def _held_until_asked(
    place: Place, by: LockManager, name: str
) -> AsyncIterator[None]:
    """`name` is held when the block begins, and given back when somebody waits.

    The holder acts in a task of its own, so that its steps are not the story's.
    """
    inside, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with by.acquire_lock(name):
            inside.set()
            while not over.is_set() and not place.ours.stats().waiting:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.002)

    place.others.append(asyncio.ensure_future(hold()))
    try:
        await inside.wait()
        yield
    finally:
        over.set()


@contextlib.asynccontextmanager
async def _place(server: Server) -> AsyncIterator[Place]:
    async with contextlib.AsyncExitStack() as stack:
        managers: list[LockManager] = []
        backends: list[Backend] = []
        for _ in range(2):
            backend = Backend(server.url, namespace=NAMESPACE, terms=TERMS)
            backends.append(await stack.enter_async_context(backend))
            locks = LockManager.over(backend.wire, backend.session)
            backend.sweeper.add(locks.sweeper_room())
            await locks.start()
            stack.push_async_callback(locks.stop)
            managers.append(locks)
        place = Place(server, backends[0], managers[0], managers[1])
        try:
            yield place
        finally:
            for other in place.others:
                other.cancel()
            await asyncio.gather(*place.others, return_exceptions=True)


async def l9_cancelled_everywhere(stage: Stage) -> Result:
    """Each story, cancelled at each of its steps, cold and warm."""
    take = LockDesk.take
    for bug in stage.bugs:
        plant(bug)
    try:
        return await _everywhere(stage)
    finally:
        LockDesk.take = take  # type: ignore[method-assign]


async def _everywhere(stage: Stage) -> Result:
    server = stage.server()
    faults: list[str] = []
    covered = total = 0
    ids = itertools.count(1)
    # With a bug planted, the first faults have said it all.
    enough = 3 if stage.bugs else MOST_FAULTS
    for story in STORIES:
        for is_cold in (True, False):
            steps = await _count(server, story, is_cold=is_cold, name=f"c{next(ids)}")
            total += 2 * steps
            for at in range(1, steps + 1 if len(faults) < enough else 1):
                for when in ("waiting", "arriving"):
                    name = f"c{next(ids)}"
                    fault = await _cancelled(
                        server, story, Steps(at, when), is_cold=is_cold, name=name
                    )
                    covered += fault != MISSED
                    if fault and fault != MISSED:
                        warm = "cold" if is_cold else "warm"
                        faults.append(
                            f"{story.__name__} ({warm}), step {at}, {when}: {fault}"
                        )
    why = f"{len(faults)} of {covered}: " + "; ".join(faults[:4]) if faults else ""
    verdict = Verdict("invalid" if faults else "valid", covered, why)
    numbers = {"cancellations / awaits × 2": f"{covered} / {total}",
               "stories": 2 * len(STORIES)}  # fmt: skip
    title = "cancellation at every await"
    return stage.result("L9", title, {"cancellation": verdict}, numbers)


async def _count(server: Server, story: Story, *, is_cold: bool, name: str) -> int:
    steps = Steps()
    async with _place(server) as place:
        await _prepare(place, is_cold=is_cold)
        await asyncio.wait_for(
            asyncio.ensure_future(_run(steps, story, place, name)), 2 * ENDS_WITHIN_S
        )
        await asyncio.gather(*place.others)
    assert steps.count <= MOST_STEPS
    return steps.count


async def _run(steps: Steps, story: Story, place: Place, name: str) -> None:
    await steps.run(story(place, name))  # type: ignore[arg-type]


async def _prepare(place: Place, *, is_cold: bool) -> None:
    """Cold: no session yet, and a server that has forgotten its scripts."""
    if is_cold:
        place.server.admin.script_flush()
        return
    for locks in (place.ours, place.theirs):
        await _take(locks, "warm")


async def _cancelled(
    server: Server, story: Story, steps: Steps, *, is_cold: bool, name: str
) -> str:
    """What was wrong after a cancellation; empty if nothing was."""
    async with _place(server) as place:
        await _prepare(place, is_cold=is_cold)
        wire = place.backend.wire
        connections = wire.calls.stats().connections
        task = asyncio.ensure_future(_run(steps, story, place, name))
        done, _ = await asyncio.wait({task}, timeout=ENDS_WITHIN_S)
        if not done:
            task.cancel()
            return "it never ended"
        if steps.count < steps.cancel_at:
            return MISSED
        if not task.cancelled():
            return f"CancelledError did not come out, but {task.exception()!r}"
        try:
            async with place.theirs.acquire_lock(name, wait_s=ENDS_WITHIN_S):
                pass
            await asyncio.gather(*place.others)
        except LockNotGranted:
            return "the lock stays taken"
        if await wire.calls.command("ECHO", name) != name.encode():
            return "a command got another's answer"
        if wire.calls.stats().connections != connections:
            return "the connection was not kept"
        return await _left(place)


async def _left(place: Place) -> str:
    """What is left in the server or on the connection."""
    left: list[str] = []
    for _ in range(1000):
        left = claimed(place.server, f"{{{NAMESPACE}}}:l:")
        if not left and not place.backend.wire.calls.stats().pending:
            return ""
        await asyncio.sleep(0.01)
    return f"left: {', '.join(left)}" if left else "calls wait for ever"
