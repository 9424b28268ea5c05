"""Who works on a queue, and which queues there are: for who looks."""

from __future__ import annotations

from typing import Protocol

from .sights import WorkerReport


class Crew(Protocol):
    """Who works on one queue, and which queues there are. For who looks."""

    async def report(self, mine: WorkerReport) -> None:
        """What this worker does now."""
        ...

    async def leave(self, session: str) -> None:
        """A worker is gone."""
        ...

    async def who(self) -> tuple[WorkerReport, ...]:
        """The workers that live, by their last reports."""
        ...

    async def can(self, task: str) -> bool | None:
        """Does a worker that lives know this task? None if that cannot be told."""
        ...

    async def used(self) -> None:
        """This queue is in use."""
        ...

    async def queues(self) -> tuple[str, ...]:
        """All queues on this server that were in use lately."""
        ...


class Nobody:
    """A crew that cannot be seen: where the server has no place for reports."""

    async def report(self, mine: WorkerReport) -> None:
        return None

    async def leave(self, session: str) -> None:
        return None

    async def who(self) -> tuple[WorkerReport, ...]:
        return ()

    async def can(self, task: str) -> bool | None:
        return None

    async def used(self) -> None:
        return None

    async def queues(self) -> tuple[str, ...]:
        return ()
