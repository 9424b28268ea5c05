"""Who works on a queue of a Redis server, and which queues there are.

Workers report what they do every few seconds, apart from the exchange; nothing depends
on it but who looks. Satisfies `Crew`.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from quorate.queue.sights import WorkerReport
from quorate.wire.keys import Keyspace
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .broker import NAMES_FRESH_S
from .keys import QueueKeys

_REPORT = load("quorate.queue.redis", "crew_report")
_CREW = load("quorate.queue.redis", "crew")
_KNOWS = load("quorate.queue.redis", "knows")

FRESH_S = 60.0
MOST_SHOWN = 1000
FORGOTTEN_AFTER_S = 30 * 86_400.0
"""A queue that nobody has used for so long is not listed any more."""


def directory_key(keys: Keyspace) -> str:
    """The ZSET of queues by the time of their last use."""
    return f"{keys.registry_tag}:j::queues"


class RedisCrew:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys, directory: str) -> None:
        self._calls = calls
        self._keys = keys
        self._directory = directory

    async def report(self, mine: WorkerReport) -> None:
        facts = asdict(mine)
        session = facts.pop("session")
        line = json.dumps(facts, separators=(",", ":"))
        args = (session, line, round(FRESH_S * 1000))
        await self._calls.call(_REPORT, [self._keys.prefix], args)

    async def leave(self, session: str) -> None:
        args = (session, "", round(FRESH_S * 1000))
        await self._calls.call(_REPORT, [self._keys.prefix], args)

    async def who(self) -> tuple[WorkerReport, ...]:
        words = await self._calls.call(
            _CREW,
            [self._keys.sessions, self._keys.prefix],
            (round(FRESH_S * 1000), MOST_SHOWN),
        )
        found = iter(words)
        return tuple(
            WorkerReport(**json.loads(line), session=session.decode())
            for session, line, _, lives in zip(found, found, found, found, strict=True)
            if lives and line
        )

    async def can(self, task: str) -> bool | None:
        """By the last roll calls."""
        args = (task, round(NAMES_FRESH_S * 1000))
        return bool(await self._calls.call(_KNOWS, [self._keys.prefix], args))

    async def used(self) -> None:
        now = round(time.time())
        await self._calls.command("ZADD", self._directory, now, self._keys.queue)

    async def queues(self) -> tuple[str, ...]:
        """The names of all queues; those that nobody used for a month are dropped."""
        oldest = round(time.time() - FORGOTTEN_AFTER_S)
        calls, key = self._calls, self._directory
        await calls.command("ZREMRANGEBYSCORE", key, "-inf", oldest)
        names = await calls.command("ZRANGE", key, 0, -1)
        return tuple(sorted(name.decode() for name in names))
