"""Functions declared as tasks: `@async_task`.

Calling and awaiting such a function enqueues it; its signature stays as it was. It is
known by its module and name, and found by them in every worker process. Which queue
manager carries it is decided when it is called: the one opened last in this process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput, QueueError
from quorate.core.names import check_name
from quorate.core.template import NameTemplate

from .guards import Rate, Slot, Unique
from .model import DEFAULT_QUEUE, Task, TaskPriority
from .patience import RetryPolicy
from .references import task_name
from .timetable import Cron, Every

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Carrier(Protocol):
    """Who takes tasks to their queue."""

    async def carry(self, task: Task) -> str: ...


class Declared(Generic[P, R]):
    """A function that is done elsewhere when it is called.

    `await function(…)` enqueues and returns the task's id; `function.run(…)` calls it
    here and now; `function.task(…)` makes the `Task` for `enqueue_many`.
    """

    def __init__(
        self,
        function: Callable[P, R],
        template: Task,
        retry: RetryPolicy | None,
        timetable: Cron | Every | None = None,
    ) -> None:
        self.run = function
        self.template = template
        self.retry = retry
        self.timetable = timetable
        signature = inspect.signature(function)
        self._keys = {
            what: NameTemplate(guard.key, signature, template.name, what)
            for what in ("unique", "slot", "rate")
            if (guard := getattr(template, what)) is not None and guard.key
        }
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, str]:
        return self.enqueue(*args, **kwargs)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Let it be done by a worker; returns the task's id."""
        return await _carrier(self.template.name).carry(self.task(*args, **kwargs))

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """The call as a task. Raises `InvalidInput` if the arguments do not fit."""
        return self.fitting(*args, **kwargs)

    def step(self, *args: Any, **kwargs: Any) -> Task:
        """A step of a chain: its first argument is the result of the step before."""
        for key in self._keys.values():
            # Nobody knows yet what comes first, so no key may be made of it.
            key.fill((object(), *args), kwargs)
        return replace(self.fitting(None, *args, **kwargs), flow="p")

    def fitting(self, *args: Any, **kwargs: Any) -> Task:
        """The call as a task, for arguments whose types nobody knows before it runs."""
        try:
            inspect.signature(self.run).bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidInput(
                f"{self.template.name} cannot be called like that.", str(error)
            ) from error
        payload: Json = {"args": list(args), "kwargs": dict(kwargs)}
        guards = {
            what: replace(getattr(self.template, what), key=key.fill(args, kwargs))
            for what, key in self._keys.items()
        }
        return replace(self.template, payload=payload, is_call=True, **guards)


_declared: dict[str, Declared[..., object]] = {}
_carriers: list[Carrier] = []


def async_task(
    *,
    queue: str = DEFAULT_QUEUE,
    priority: TaskPriority = TaskPriority.NORMAL,
    name: str | None = None,
    timeout_s: float | None = None,
    retry: RetryPolicy | None = None,
    expires_s: float | None = None,
    deadline_s: float | None = None,
    unique: Unique | None = None,
    slot: Slot | None = None,
    rate: Rate | None = None,
    service: str | None = None,
    when: Cron | Every | None = None,
) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a function as a task of `queue`.

    Its name is `module.function` unless given. Its arguments must be JSON. The keys of
    `unique`, `slot` and `rate` may have holes for them, such as "user:{user_id}"; they
    are checked here. While `service` is down, its tasks wait. With a timetable (`when`)
    it is also done by itself, without arguments, once workers were started anywhere;
    the schedule has the task's name. `Task` says what the times mean.
    """
    check_name(queue, "queue")
    if service is not None:
        check_name(service, "service")

    def declare(function: Callable[P, R]) -> Declared[P, R]:
        called = check_name(name or task_name(function), "task")
        template = Task(
            name=called, queue=queue, priority=priority, timeout_s=timeout_s,
            expires_s=expires_s, deadline_s=deadline_s, unique=unique, slot=slot,
            rate=rate, service=service,
        )  # fmt: skip
        declared = Declared(function, template, retry, when)
        if when is not None:
            declared.fitting()
        _declared[called] = declared
        return declared

    return declare


def all_declared() -> tuple[Declared[..., object], ...]:
    """Every function declared as a task in this process so far."""
    return tuple(_declared.values())


def carry_with(carrier: Carrier) -> Callable[[], None]:
    """From now on declared functions go through `carrier`. Returns its undoing."""
    _carriers.append(carrier)

    def leave() -> None:
        if carrier in _carriers:
            _carriers.remove(carrier)

    return leave


def _carrier(name: str) -> Carrier:
    if not _carriers:
        raise QueueError(
            f"{name} was not enqueued: no queue is open in this process.",
            "",
            "Open one first: await get_queue_manager(), or quorate.connect(url).",
        )
    return _carriers[-1]
