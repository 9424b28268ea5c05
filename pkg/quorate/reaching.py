"""How the reactions look at a node and act on it: the hands that the engine is given.

The capabilities never hear of reactions; whatever these need of them is fetched here.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from quorate.config.manager import ConfigManager
from quorate.config.writing import Terms
from quorate.core.clock import Clock
from quorate.health.manager import HealthCheckManager
from quorate.locks.manager import LockManager
from quorate.queue.capabilities import Capability
from quorate.queue.manager import QueueManager
from quorate.reactions.hands import Office, Stored
from quorate.reactions.rules.degraded_mode import AUTHOR
from quorate.reactions.view import Dependency, DependencyState
from quorate.verdict.model import HealthState

DEGRADED_MODE = "service.degraded_mode"
DEGRADED_LEVEL = "service.degraded_level"
REACTOR_LOCK = "quorate/reactor"
A_YEAR_S = 365 * 86_400.0

_STATES = {
    HealthState.HEALTHY: DependencyState.HEALTHY,
    HealthState.DEGRADED: DependencyState.HEALTHY,
    HealthState.UNHEALTHY: DependencyState.UNHEALTHY,
}


class NodeHands:
    """The hands of one node."""

    def __init__(
        self,
        health: HealthCheckManager,
        locks: LockManager,
        config: ConfigManager,
        queue: QueueManager,
        clock: Clock,
    ) -> None:
        self._health = health
        self._locks = locks
        self._config = config
        self._queue = queue
        self._clock = clock
        self._known: dict[str, tuple[int, str]] = {}

    def dependencies(self) -> tuple[Dependency, ...]:
        """Each check: its state, since when, and its last message."""
        now = self._clock.monotonic()
        return tuple(
            Dependency(
                name=check.name,
                state=_STATES.get(check.state, DependencyState.UNKNOWN),
                since=now - check.state_for_s,
                critical=check.critical,
                message=check.status.message or check.reason,
            )
            for check in self._health.report().checks.values()
        )

    def office(self) -> AbstractAsyncContextManager[Office]:
        """The lock of the one who writes. Lost, it only says so: the role looks."""
        return self._locks.acquire_lock(
            REACTOR_LOCK, wait_s=A_YEAR_S, label="reactions", on_loss="flag"
        )

    async def stored(self) -> Stored:
        """The values from memory; who wrote them is asked for once a revision."""
        mode = self._config.stored(DEGRADED_MODE)
        level = self._config.stored(DEGRADED_LEVEL)
        text = level.value if isinstance(level.value, str) else ""
        return Stored(
            value=mode.value is True,
            author=await self._author(DEGRADED_MODE, mode.version),
            level=text,
            level_author=await self._author(DEGRADED_LEVEL, level.version),
        )

    async def _author(self, key: str, revision: int) -> str:
        """Who wrote it at `revision`; empty if nobody did."""
        if self._known.get(key, (0, ""))[0] != revision:
            commits = await self._config.history(key, limit=1)
            self._known[key] = (revision, commits[0].author if commits else "")
        author = self._known[key][1] if key in self._known else ""
        return author or "the application" if revision else ""

    async def store(self, values: dict[str, object], comment: str) -> int:
        """One transaction, one revision, with its cause."""
        revision = await self._config.set_many(
            values, Terms(author=AUTHOR, comment=comment)
        )
        self._known |= dict.fromkeys(values, (revision, AUTHOR))
        return revision

    async def shed_level(self) -> int | None:
        """How many lanes the workers leave alone; None where they cannot be told."""
        if Capability.PAUSE not in self._queue.place().capabilities:
            return None
        return await self._queue.shed_level()

    async def shed(self, level: int) -> None:
        """Tell every worker, by way of the server."""
        await self._queue.set_shed(level)
