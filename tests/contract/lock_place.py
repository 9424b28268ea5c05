"""Processes over one server: each has a backend, a session and locks of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from quorate.backend import Backend
from quorate.lease.lease import LeaseTerms
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig
from quorate.testing.heard import Heard

SHORT = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=3.0)


class Process:
    """A process as its locks see it."""

    def __init__(self, backend: Backend, locks: LockManager, heard: Heard) -> None:
        self.backend = backend
        self.locks = locks
        self.heard = heard

    @property
    def requests(self) -> int:
        """All that it has sent so far.

        A node that meets a script for the first time costs one request more, and each
        name may live on another node of a Cluster. So whoever counts has each script
        run once before, on the same name or on one of `names_of_one_tag`.
        """
        return self.backend.wire.calls.stats().requests

    async def dies_on_the_server(self) -> None:
        """The session is over, and the process does not know it yet."""
        for member in self.backend.session.memberships():
            await self.backend.session._store.end(member.tag, member.name)

    def names_of_one_tag(self, *names: str) -> list[str]:
        """As many names that a Cluster keeps in one place; elsewhere these."""
        tag_of = self.backend.wire.keys.lock_tag
        tag, found = tag_of(names[0]), [names[0]]
        for name in names[1:]:
            tries = (f"{name} {number}" for number in itertools.count())
            others = (other for other in tries if tag_of(other) == tag)
            found.append(name if tag_of(name) == tag else next(others))
        return found


class Place:
    """Where processes come from; closed at the end."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._open: list[Process] = []

    async def process(
        self, terms: LeaseTerms = SHORT, config: LockConfig | None = None
    ) -> Process:
        heard = Heard()
        backend = Backend(
            self._url, namespace=self._namespace, terms=terms, emit=heard.emit
        )
        await backend.start()
        locks = LockManager.over(
            backend.wire, backend.session, config, heard.emit, backend.chance
        )
        backend.sweeper.add(locks.sweeper_room())
        await locks.start()
        self._open.append(process := Process(backend, locks, heard))
        return process

    async def close(self) -> None:
        for process in self._open:
            await process.locks.stop()
            await process.backend.stop()


async def until(is_true: Callable[[], Any], within_s: float = 5.0) -> None:
    """Wait until it is so; an awaitable answer is awaited."""
    async with asyncio.timeout(within_s):
        while True:
            answer = is_true()
            if await answer if hasattr(answer, "__await__") else answer:
                return
            await asyncio.sleep(0.002)


async def in_line(process: Process, name: str, waiting: int) -> None:
    """Wait until so many stand in the server's line."""

    async def is_so() -> bool:
        return len((await process.locks.explain(name)).waiters) == waiting

    await until(is_so)
