"""A hand on whole queues: what every worker heeds from its next exchange on."""

from __future__ import annotations

from .guards import Rate
from .lookup import Lookup
from .model import DEFAULT_QUEUE
from .place import Place
from .ports import DeadLetters


class Steering:
    """What a queue manager offers to who looks after the queues."""

    _lookup: Lookup

    def place(self, queue: str = DEFAULT_QUEUE) -> Place:
        """One queue from every side: broker, results, dead letters, admin."""
        return self._lookup.place(queue)

    @property
    def dead_letters(self) -> DeadLetters:
        """Tasks of the default queue that were set aside: list, replay, purge.

        Of another queue: `place(queue).dead_letters`.
        """
        return self.place().dead_letters

    async def set_shed(self, level: int, *, queue: str | None = None) -> None:
        """Serve fewer lanes in every worker, from its next exchange on.

        0 serves all, 1 stops LOW, 2 stops NORMAL too, 3 stops everything. For all
        queues of this process unless one is named. Nothing is lost meanwhile.
        """
        for name in (queue,) if queue else self._lookup.queues:
            await self.place(name).admin.shed(level)

    async def shed_level(self) -> int:
        """The highest shed level among the queues of this process."""
        brokers = [self.place(name).broker for name in self._lookup.queues]
        return max([(await broker.stats()).shed_level for broker in brokers])

    async def pause(self, queue: str = DEFAULT_QUEUE, *, task: str = "") -> None:
        """No worker claims from this queue, or its tasks of this name, any more."""
        await self.place(queue).admin.pause(paused=True, task=task)

    async def resume(self, queue: str = DEFAULT_QUEUE, *, task: str = "") -> None:
        """Workers claim from this queue, or tasks of this name, again."""
        await self.place(queue).admin.pause(paused=False, task=task)

    async def set_rate(
        self, rate: Rate | None, *, queue: str = DEFAULT_QUEUE, task: str = ""
    ) -> None:
        """Let tasks of this queue, or those of one name in it, begin at `rate` at most.

        In all workers together, from their next exchange on; None lifts the limit.
        """
        await self.place(queue).admin.limit(rate, task=task)
