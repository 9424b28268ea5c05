"""Keeps so many worker processes at work.

Each child has a session of its own. The supervisor starts it, listens to its beat,
kills it when its event loop makes no progress, and starts another after a rest. When a
child has died it ends the child's session, so that its tasks are back in their lanes at
once instead of after the session's time. A child whose supervisor is gone drains and
ends.
"""

from __future__ import annotations

import asyncio

from quorate.core.errors import QueueError
from quorate.core.lifecycle import Tasks
from quorate.lease.session import Session

from .counts import WorkerTally, added_up
from .measures import Rows, together
from .post import Bury, Patience, Post, Tools
from .sights import WorkerSight

READY_WITHIN_S = 60.0


class Supervisor:
    """Starts, watches and ends worker processes."""

    def __init__(
        self,
        orders: bytes,
        patience: Patience,
        bury: Bury,
        tools: Tools,
        lookout: Lookout,
    ) -> None:
        self._lookout = lookout
        self._orders = orders
        self._patience = patience
        self._bury = bury
        self._tools = tools
        self._tasks = Tasks(tools.emit, tools.clock)
        self._posts: list[Post] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run now."""
        children = (post.child for post in self._posts)
        return tuple(child.pid for child in children if child is not None)

    def tally(self) -> WorkerTally:
        """Counts over all children, those that ended included."""
        return added_up(post.tally for post in self._posts)

    def sights(self) -> tuple[WorkerSight, ...]:
        """Each post as it stands now."""
        return tuple(post.sight() for post in self._posts)

    def rows(self) -> Rows:
        """The measures of all children, those that ended included."""
        return together(post.rows for post in self._posts)

    def hurry(self) -> None:
        """While it stops: wait no longer for running tasks."""
        for post in self._posts:
            post.hurry()

    async def start(self, count: int) -> None:
        """Start `count` children and wait until each is ready.

        Raises `QueueError` when one of them cannot work at all; stop the others then.
        """
        self._posts = [
            Post(number, self._orders, self._patience, self._bury, self._tools)
            for number in range(count)
        ]
        self._tasks.employ(self._lookout)
        for post in self._posts:
            self._tasks.employ(post)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await asyncio.gather(*(post.ready for post in self._posts))
        except TimeoutError as error:
            raise QueueError(
                f"The workers were not ready within {READY_WITHIN_S:g} s.",
                "They may be busy importing the handlers' modules.",
            ) from error

    async def stop(self) -> None:
        """Let all of them drain, and end those that take too long."""
        await asyncio.gather(*(post.end() for post in self._posts))
        await self._tasks.close()


class Lookout:
    """A role: keeps the supervisor's own session among those of its children.

    Whoever renews a session learns for free that another one is late. A child that was
    stopped is noticed by the supervisor in this way, even if it was the only one.
    """

    name = "lookout"

    def __init__(self, session: Session, tag: str) -> None:
        self._session = session
        self._tag = tag

    async def tick(self) -> float:
        """Be inside; free if it is already."""
        await self._session.join(self._tag)
        return self._session.terms.renew_every_s
