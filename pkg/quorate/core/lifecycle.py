"""Opening, closing, and everything that runs in between.

The only file that creates tasks and the only one that says `while True`. A background
role is one small object with `tick()`, one pass that can be tested without a loop; the
loop around it is here. What is started in order is stopped in reversed order, once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar
from weakref import WeakKeyDictionary

from .clock import Clock, SystemClock
from .errors import words_of
from .events import Emit, Event, silent

T = TypeVar("T")

FIRST_REST_S = 0.1
LONGEST_REST_S = 5.0
_MOST_DOUBLINGS = 10
"""Beyond it the rest has long been the longest, and 2**n would outgrow a float."""

_sent_by: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]] = WeakKeyDictionary()
"""Which task waits for the end of which, in `to_the_end`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFailed(Event):
    """One pass of a background role raised; it rests and goes on."""

    level: ClassVar[str] = "warning"
    role: str
    error: str
    failures: int
    rest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCrashed(Event):
    """A background task raised and is gone. This is a bug worth reporting."""

    level: ClassVar[str] = "error"
    task: str
    error: str


class Role(Protocol):
    """A background duty, named after the job title: sweeper, keeper, prober."""

    @property
    def name(self) -> str: ...

    async def tick(self) -> float:
        """One pass. Returns the seconds until the next one is due."""
        ...


class Member(Protocol):
    """Something long-lived that is opened and closed."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Duty:
    """A role at work: may be woken before its time, and stopped."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self._bell = asyncio.Event()

    def wake(self) -> None:
        """Let the next pass begin now."""
        self._bell.set()

    async def rest(self, clock: Clock, delay_s: float) -> None:
        """Wait for `delay_s`, or for `wake`."""
        if delay_s > 0 and not self._bell.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._bell.wait()
        else:
            await clock.sleep(0)
        self._bell.clear()


class Tasks:
    """The tasks of one owner. Closing cancels them and waits until all are gone."""

    def __init__(self, emit: Emit = silent, clock: Clock | None = None) -> None:
        self._emit = emit
        self._clock = clock or SystemClock()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` in the background, under this owner's roof.

        An error that nobody awaits becomes a `TaskCrashed` event. Raises `RuntimeError`
        after `close`.
        """
        if self._closed:
            work.close()
            raise RuntimeError(f"{name}: its owner is closed")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._gone)
        return task

    def employ(self, role: Role) -> Duty:
        """Let `role` tick until this owner closes. A failed pass rests and goes on."""
        duty = Duty(role)
        self.spawn(self._work(duty), f"role {role.name}")
        return duty

    async def close(self) -> None:
        """Cancel everything and wait until it is gone. Twice is harmless.

        The task that asks for it, even through `to_the_end`, is not waited for.
        """
        self._closed = True
        asking = _asking()
        while leaving := [t for t in self._running if t not in asking]:
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)

    async def drain(self, within_s: float) -> bool:
        """Wait until all have ended by themselves; False if `within_s` ran out."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=within_s)
        return not self._running

    async def _work(self, duty: Duty) -> None:
        failures = 0
        while True:
            try:
                rest_s = await duty.role.tick()
                failures = 0
            except Exception as error:
                failures += 1
                doublings = min(failures - 1, _MOST_DOUBLINGS)
                rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2**doublings)
                self._emit(
                    RoleFailed(
                        role=duty.role.name,
                        error=words_of(error),
                        failures=failures,
                        rest_s=rest_s,
                    )
                )
            _heed_cancellation()
            await duty.rest(self._clock, rest_s)

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._closed:
            self._emit(TaskCrashed(task=task.get_name(), error=words_of(error)))


def _heed_cancellation() -> None:
    """Raise the cancellation that something below may have swallowed.

    `asyncio.wait_for` does before Python 3.12, and with it whatever uses it.
    """
    me = asyncio.current_task()
    if me is not None and me.cancelling():
        raise asyncio.CancelledError


async def to_the_end(work: Coroutine[Any, Any, T], name: str = "to the end") -> T:
    """Await `work` so that a cancellation of the caller does not stop it half-way.

    If the caller is cancelled, `work` is still waited for, and then the cancellation
    passes through. `work` must have a deadline of its own.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    me = asyncio.current_task()
    if me is not None:
        _sent_by[task] = me
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()


def _asking() -> set[asyncio.Task[Any]]:
    """This task, and those that wait for its end."""
    asking: set[asyncio.Task[Any]] = set()
    task = asyncio.current_task()
    while task is not None:
        asking.add(task)
        task = _sent_by.get(task)
    return asking


class Household:
    """Members that are started in order and stopped in reversed order.

    If one does not start, those before it are stopped again and its error is raised.
    While stopping, neither one that raises nor a cancellation keeps the others from
    being stopped; the cancellation, or else the first error, is raised at the end.
    Stopping twice, or at once from two tasks, is harmless.
    """

    def __init__(self) -> None:
        self._open: list[Member] = []
        self._gate = asyncio.Lock()

    async def start(self, *members: Member) -> None:
        """Start `members` one after the other."""
        async with self._gate:
            for member in members:
                self._open.append(member)
                try:
                    await member.start()
                except BaseException:
                    await self._stop_all()
                    raise

    async def stop(self) -> None:
        """Stop all, the last started first."""
        async with self._gate:
            errors = await self._stop_all()
        if errors:
            raise errors[0]

    async def _stop_all(self) -> list[Exception]:
        errors: list[Exception] = []
        while self._open:
            member = self._open.pop()
            try:
                await to_the_end(member.stop(), f"stop {type(member).__name__}")
            except asyncio.CancelledError:
                await self._stop_all()
                raise
            except Exception as error:
                errors.append(error)
        return errors


@contextlib.asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    """Have `members` open for the length of the block."""
    household = Household()
    await household.start(*members)
    try:
        yield
    finally:
        await household.stop()
