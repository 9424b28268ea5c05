"""A role that keeps one source's content current in the assembly.

Looks when the source hints and now and then anyway. What it gave last stays in force
while it fails; a failure is told once, and so is its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.core.clock import Chance, Clock
from quorate.core.errors import QuorateError
from quorate.core.events import Emit
from quorate.core.lifecycle import Duty

from .assembly import Assembly
from .events import ConfigSourceFailed, ConfigSourceRestored
from .layers import Content
from .model import Loaded
from .sources.source import Source

LOAD_WITHIN_S = 15.0
RETRY_S = 1.0
REST_S = 0.5
SPREAD = 0.2

Taken = Callable[[Loaded], None]
"""Told of every new content that came into force; quick."""


class Follower:
    """Follows `source`. `failing_since` is wall time, None while all is well."""

    def __init__(
        self,
        source: Source,
        assembly: Assembly,
        emit: Emit,
        clock: Clock,
        chance: Chance,
        taken: Taken | None = None,
    ) -> None:
        self.source = source
        self.name = f"config source {source.name}"
        self.duty: Duty | None = None
        self.failing_since: float | None = None
        self.failures = 0
        self._assembly = assembly
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._taken = taken
        self._error = ""
        self._one_at_a_time = asyncio.Lock()

    async def tick(self) -> float:
        """One look. A source that fails is looked at again sooner."""
        try:
            await self.follow()
        except (QuorateError, OSError, TimeoutError):
            return RETRY_S
        rest_s = self.source.recheck_s
        return rest_s * (1 + SPREAD * (2 * self._chance.random() - 1))

    async def follow(self) -> tuple[str, ...]:
        """Take in what the source holds now. Returns the keys that changed.

        Raises what the source raises, or `ConfigInvalid` if the whole was refused.
        Looks follow one another, so that an older one never comes in after a newer.
        """
        async with self._one_at_a_time:
            return await self._follow()

    async def _follow(self) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                loaded = await self.source.load()
            known = self._assembly.content_of(self.source.name)
            if known is not None and known.loaded.version == loaded.version:
                self._well()
                return ()
            keys = self.take(loaded)
        except (QuorateError, OSError, TimeoutError) as error:
            self._failed(error)
            raise
        self._well()
        if self._taken is not None:
            self._taken(loaded)
        return keys

    def take(self, loaded: Loaded) -> tuple[str, ...]:
        """Put `loaded` into the assembly. Raises `ConfigInvalid` if it is refused."""
        content = Content(self.source.layer, 0, self.source.name, loaded)
        return self._assembly.put(content)

    def wake(self) -> None:
        """Look now."""
        if self.duty is not None:
            self.duty.wake()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = self._clock.now()
        text = str(error) or type(error).__name__
        if text != self._error:
            self._error = text
            self._emit(ConfigSourceFailed(source=self.source.name, error=text))

    def _well(self) -> None:
        if self.failing_since is not None:
            self.failing_since, self._error = None, ""
            self._emit(ConfigSourceRestored(source=self.source.name))


class Listening:
    """A role: lets a source wake its follower, and goes back to it if that ends."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.name = f"config watch {follower.source.name}"

    async def tick(self) -> float:
        """Listen until that ends. That a source is away its follower has told."""
        try:
            await self._follower.source.watch(self._follower.wake)
        except (QuorateError, OSError, TimeoutError):
            self._follower.wake()
        return REST_S
