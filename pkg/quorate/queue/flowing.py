"""What a queue manager offers besides queues: tasks that come after one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.core.clock import Clock
from quorate.core.codec import Json
from quorate.core.errors import MissingCapability, UnknownTask
from quorate.core.ids import new_task_id
from quorate.core.names import check_name

from .flow import Member, OnFailure, Plan, plan_chain, plan_group
from .lookup import Lookup
from .model import Task, TaskState
from .producer import Producer


class Asked(Protocol):
    """Who knows what became of tasks."""

    async def result(
        self, task_id: str, *, wait_s: float = 30.0, queue: str | None = None
    ) -> Json: ...

    async def cancel(self, task_id: str, *, queue: str | None = None) -> TaskState: ...


@dataclass(frozen=True, slots=True)
class Flow:
    """A chain or a group that was put in. `id` is that of its last step."""

    id: str
    queue: str
    ids: tuple[str, ...]
    asked: Asked

    async def result(self, *, wait_s: float = 30.0) -> Json:
        """What the last step returned. Raises as `QueueManager.result` does."""
        return await self.asked.result(self.id, wait_s=wait_s, queue=self.queue)

    async def cancel(self) -> None:
        """Call off what has not begun, and tell what runs to stop."""
        for task_id in reversed(self.ids):
            try:
                await self.asked.cancel(task_id, queue=self.queue)
            except UnknownTask:
                # It was over so long ago that it is forgotten.
                continue


class Flows:
    """Chains and groups. All tasks of one are in one queue: one script moves them."""

    _lookup: Lookup
    _producer: Producer
    _clock: Clock
    _asked: Asked

    async def chain(
        self,
        steps: Sequence[Task],
        *,
        flow_id: str | None = None,
        on_failure: OnFailure = "stop",
    ) -> Flow:
        """Let tasks be done one after the other.

        Each gets the result of the one before: a task without a payload as its payload,
        one made by `function.step(…)` as its first argument; any other runs with what
        it was given. If one ends in the dead letters or is cancelled, the rest is
        cancelled, or with `on_failure="continue"` goes on with None. With a `flow_id`
        of your own, asking twice changes nothing.
        """
        ident = self._flow_id(flow_id)
        return await self._put_in(
            plan_chain(tuple(steps), self._producer.pack, ident, on_failure)
        )

    async def group(
        self,
        members: Sequence[Member],
        *,
        collect: Task,
        flow_id: str | None = None,
        on_failure: OnFailure = "stop",
    ) -> Flow:
        """Let tasks (or chains) be done at once, and `collect` when all have ended.

        It gets the list of their results, in their order, as `chain` says. If one ends
        in the dead letters or is cancelled, the others are cancelled and `collect` too;
        with `on_failure="continue"` it gets a dict with state, result and error of
        each. Results beyond 4 MB together come as None.
        """
        ident = self._flow_id(flow_id)
        return await self._put_in(
            plan_group(tuple(members), collect, self._producer.pack, ident, on_failure)
        )

    def _flow_id(self, given: str | None) -> str:
        if given is None:
            return new_task_id(self._clock.now())
        return check_name(given, "flow id")

    async def _put_in(self, plan: Plan) -> Flow:
        store = self._lookup.place(plan.queue).flows
        if store is None:
            raise MissingCapability(
                f"The queue {plan.queue} has no chains and groups.",
                "Its backend cannot count what has ended.",
                "Use a queue on Redis.",
            )
        self._lookup.used(plan.queue)
        self._producer.enqueued += await store.put_in(plan)
        return Flow(plan.id, plan.queue, plan.ids, self._asked)
