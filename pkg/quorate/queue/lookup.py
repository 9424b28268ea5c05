"""Which queue knows a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from quorate.core.errors import UnknownTask
from quorate.core.names import check_name

from .model import DEFAULT_QUEUE
from .place import Place


class Lookup:
    """The queues that this process is concerned with: configured, or used by it."""

    def __init__(self, place_of: Callable[[str], Place], queues: Iterable[str]) -> None:
        self._place_of = place_of
        self._queues: dict[str, None] = dict.fromkeys(queues)
        self._used: dict[str, None] = {}
        self.on_new: Callable[[], None] = lambda: None

    @property
    def used_here(self) -> tuple[str, ...]:
        """The queues into which this process has put tasks."""
        return tuple(self._used)

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(self._queues)

    def used(self, *queues: str) -> None:
        """Tasks of this process go there. Raises `InvalidName`."""
        for queue in queues:
            if not isinstance(queue, str) or queue not in self._used:
                check_name(queue, "queue")
                self._used[queue] = self._queues[queue] = None
                self.on_new()

    async def on_server(self) -> tuple[str, ...]:
        """All queues of the server that were in use lately, and those known here."""
        listed = await self.place(DEFAULT_QUEUE).crew.queues()
        return tuple(sorted({*listed, *self._queues}))

    def place(self, queue: str) -> Place:
        return self._place_of(check_name(queue, "queue"))

    async def find(self, task_id: str, queue: str | None) -> Place:
        """The queue of a task; asks one after the other if none is named."""
        check_name(task_id, "task id")
        if queue is not None:
            return self.place(queue)
        if len(self._queues) == 1:
            return self.place(next(iter(self._queues)))
        for name in self._queues:
            place = self.place(name)
            if (await place.results.find(task_id)).state is not None:
                return place
        raise unknown(task_id, self.queues)


def unknown(task_id: str, queues: Sequence[str]) -> UnknownTask:
    """The error for a task that no queue knows."""
    return UnknownTask(
        f"There is no task {task_id} in {', '.join(queues)}.",
        "It was never enqueued there, or its result is not kept any more.",
        "Check the id, or name the queue with queue=….",
    )
