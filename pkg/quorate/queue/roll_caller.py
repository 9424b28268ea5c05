"""Compares now and then what a worker has with what the server believes it has.

A claim that nobody works on, because its answer was lost for good, goes back to its
lane; a task that the worker has no claim to is stopped; so is one that was cancelled.
The same call tells the server which tasks this worker can do.
"""

from __future__ import annotations

from quorate.core.errors import OutcomeUnknown, StoreUnavailable

from .consumer import Consumer
from .desk import Desk
from .events import TasksStranded
from .handlers import Handlers
from .ports import RollAnswer, RollCall
from .run import Stop

IDLE_TIMES = 3
"""A worker without tasks calls so many times less often."""

AGAIN_S = 1.0


class RollCaller:
    """A role, one for each queue of a worker."""

    name = "roll caller"

    def __init__(self, desk: Desk, consumer: Consumer, handlers: Handlers) -> None:
        self._desk = desk
        self._consumer = consumer
        self._handlers = handlers

    async def tick(self) -> float:
        """One comparison."""
        desk, consumer = self._desk, self._consumer
        try:
            me = consumer.session or await desk.session.join(desk.tag)
            mine = RollCall(me, consumer.known, consumer.answered, self._handlers.names)
            answer = await desk.claims.roll_call(mine)
        except (StoreUnavailable, OutcomeUnknown):
            return AGAIN_S
        self._act(me, answer)
        is_idle = not consumer.is_busy
        return desk.config.roll_call_s * (IDLE_TIMES if is_idle else 1)

    def _act(self, me: str, answer: RollAnswer) -> None:
        running = self._consumer.running
        running.known_elsewhere = answer.names - frozenset(self._handlers.names)
        if answer.returned:
            self._desk.emit(
                TasksStranded(queue=self._desk.queue, session=me, tasks=answer.returned)
            )
        for task_id in answer.lost:
            self._consumer.stop(task_id, Stop.LOST)
        for task_id in answer.unwanted:
            self._consumer.stop(task_id, Stop.CANCEL)
