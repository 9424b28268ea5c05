"""Everything a manager follows: files, the store, remote and users' own sources.

Files are read when they are added. Sources on the network are asked at the start; one
that is away is replaced by what it gave last, if that was kept on disk.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from quorate.core.clock import Clock, fresh_chance
from quorate.core.errors import InvalidInput, QuorateError
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks

from .assembly import Assembly
from .events import LastGoodUsed
from .follower import Follower, Listening
from .formats import ConfigFormat
from .last_good import LastGood
from .layers import Content
from .model import Layer, Loaded
from .options import ConfigOptions, SourceStats
from .sources.file import FileSource
from .sources.source import Source
from .sources.watching import FileWatch

ON_THE_NETWORK = (Layer.REMOTE, Layer.STORE)


class Intake:
    """The sources of one manager, each with its follower."""

    def __init__(
        self, assembly: Assembly, options: ConfigOptions, emit: Emit, clock: Clock
    ) -> None:
        self._assembly = assembly
        self._options = options
        self._emit = emit
        self._clock = clock
        self._chance = fresh_chance()
        self._tasks = Tasks(emit, clock)
        self._files = FileWatch()
        self._running = self._watching_files = False
        self._followers: dict[str, Follower] = {}
        self._last_good: LastGood | None = None
        if options.data_dir:
            directory = Path(options.data_dir)
            self._last_good = LastGood(directory, options.owner, emit, clock)

    async def start(self) -> None:
        """Look at every source once, then begin to follow them.

        Raises the store's error if it is away and nothing was kept of it.
        """
        for follower in tuple(self._followers.values()):
            await self._first_look(follower)
        self._running = True
        for follower in self._followers.values():
            self._employ(follower)
        if self._last_good is not None:
            self._last_good.wake = self._tasks.employ(self._last_good).wake

    async def stop(self) -> None:
        """Follow nothing any more."""
        self._running = False
        await self._tasks.close()
        if self._last_good is not None:
            await self._last_good.flush()

    def add(self, source: Source) -> None:
        """Follow `source`."""
        self._refuse_twice(source)
        taken = None
        if self._last_good is not None and source.layer in ON_THE_NETWORK:
            keeper = self._last_good

            def taken(loaded: Loaded) -> None:
                keeper.keep(source.name, loaded)

        follower = Follower(
            source, self._assembly, self._emit, self._clock, self._chance, taken
        )
        self._followers[source.name] = follower
        if self._running:
            self._employ(follower)

    def add_file(self, path: Path, kind: ConfigFormat | None) -> None:
        """Read the file and the environment-specific one beside it; follow both."""
        named = f"{path.stem}.{self._options.environment}{path.suffix}"
        specific = path.with_name(named)
        sources = [
            FileSource(
                file, kind, layer, self._options.environ, self._files, self._clock
            )
            for file, layer in (
                (path, Layer.FILE),
                (specific, Layer.ENVIRONMENT_FILE),
            )
        ]
        for source in sources:
            self._refuse_twice(source)
        self._assembly.put(
            *(Content(one.layer, 0, one.name, one.load_now()) for one in sources)
        )
        for source in sources:
            self.add(source)

    async def look_now(self, source: str) -> None:
        """Take in what `source` holds now. Raises what it raises."""
        await self._followers[source].follow()

    async def look_at_all(self) -> None:
        """Take in everything now; at the end raise the first error there was."""
        errors: list[Exception] = []
        for follower in tuple(self._followers.values()):
            try:
                await follower.follow()
            except (QuorateError, OSError, TimeoutError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def failing_since(self, source: str) -> float | None:
        """Wall time since which `source` fails; None while it does not."""
        follower = self._followers.get(source)
        return follower.failing_since if follower else None

    def stats(self) -> tuple[SourceStats, ...]:
        """The state of every source."""
        return tuple(
            SourceStats(name, one.source.layer, one.failures, one.failing_since)
            for name, one in self._followers.items()
        )

    async def _first_look(self, follower: Follower) -> None:
        source = follower.source
        if isinstance(source, FileSource):
            return
        try:
            async with asyncio.timeout(self._options.start_within_s):
                await follower.follow()
        except (QuorateError, OSError, TimeoutError):
            kept = await self._last_good.read(source.name) if self._last_good else None
            if kept is None:
                if source.layer is Layer.STORE:
                    raise
                return
            follower.take(kept.loaded)
            follower.failing_since = kept.saved_at
            self._emit(LastGoodUsed(source=source.name, since=kept.saved_at))

    def _employ(self, follower: Follower) -> None:
        follower.duty = self._tasks.employ(follower)
        self._tasks.employ(Listening(follower))
        if isinstance(follower.source, FileSource) and not self._watching_files:
            self._watching_files = True
            self._tasks.employ(self._files)

    def _refuse_twice(self, source: Source) -> None:
        if source.name in self._followers:
            raise InvalidInput(
                f"There is a source {source.name} already.",
                "Each source is followed once.",
                "Remove the second call, or give the source another name.",
            )
