"""What became of tasks, and how queues are: asked of the server, or waited for."""

from __future__ import annotations

from quorate.core.codec import Json

from .lookup import Lookup, unknown
from .model import TaskState
from .redis.mailbox import Mailbox
from .waiting import Waiting


class Asking:
    """What a queue manager tells of tasks."""

    _lookup: Lookup
    _mailbox: Mailbox
    _waiting: Waiting

    async def result(
        self, task_id: str, *, wait_s: float = 30.0, queue: str | None = None
    ) -> Json:
        """What the handler returned, waited for at most `wait_s`.

        Raises `TaskFailed`, `ResultPending` or `UnknownTask`. Name the queue unless it
        is one of the configuration's or was used by this process.
        """
        place = await self._lookup.find(task_id, queue)
        if wait_s:
            await self._mailbox.open(place.tag)
        tell = self._mailbox.channel_in(place.tag)
        return await self._waiting.result(
            place.results, task_id, wait_s=wait_s, tell=tell
        )

    async def state(self, task_id: str, *, queue: str | None = None) -> TaskState:
        """Where a task is now. Raises `UnknownTask`."""
        place = await self._lookup.find(task_id, queue)
        state = (await place.results.find(task_id)).state
        if state is None:
            raise unknown(task_id, (place.queue,))
        return state

    async def cancel(self, task_id: str, *, queue: str | None = None) -> TaskState:
        """Stop a task: at once if it waits; if it runs, its worker is told to stop it.

        Returns its state after that: CANCELLED, RUNNING (told), or its end.
        """
        place = await self._lookup.find(task_id, queue)
        state = await place.broker.cancel(task_id)
        if state is None:
            raise unknown(task_id, (place.queue,))
        return state
