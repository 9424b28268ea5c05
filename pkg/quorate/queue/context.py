"""What a handler may know of the task it works on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from quorate.core.errors import InvalidInput

from .model import PRIORITIES, Lease, TaskPriority

LONGEST_NOTE = 500

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""Until when (wall time) the task whose handler runs here must be done."""


class TaskContext:
    """One attempt at a task. Handed to handlers that take two arguments.

    `token` grows with every claim of any task of the queue: pass it along with what you
    write, and let the store refuse a lower one. `ends_at` is when the attempt is
    stopped, in the event loop's time.
    """

    __slots__ = ("_is_over", "_lease", "_report", "ends_at", "name", "queue")

    def __init__(
        self,
        lease: Lease,
        name: str,
        queue: str,
        ends_at: float,
        report: Callable[[str], Awaitable[None]],
    ) -> None:
        self._lease = lease
        self._report = report
        self._is_over = False
        self.name = name
        self.queue = queue
        self.ends_at = ends_at

    @property
    def task_id(self) -> str:
        return self._lease.id

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._lease.attempt

    @property
    def token(self) -> int:
        return self._lease.token

    @property
    def priority(self) -> TaskPriority:
        return PRIORITIES[self._lease.lane]

    @property
    def should_stop(self) -> bool:
        """For handlers in threads, which cannot be cancelled: is the attempt over?"""
        return self._is_over

    async def progress(self, share: float, note: str = "") -> None:
        """Tell how far the task has come: `share` from 0 to 1.

        Raises `StaleTokenError` when the task belongs to somebody else by now.
        """
        if not 0 <= share <= 1:
            raise InvalidInput(
                f"A task cannot have come {share} of its way.", "", "Give 0 to 1."
            )
        await self._report(f"{share:.0%} {note[:LONGEST_NOTE]}".strip())

    def close(self) -> None:
        """The attempt is over."""
        self._is_over = True
