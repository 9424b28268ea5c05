"""Everyone else: the instances of any service, kept up to date.

Looking up answers at once from the last snapshot, which says since when it is stale
while the store is away; an error is never an empty list. Watching gives every snapshot
in the order of its revisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from quorate.core.clock import Chance, Clock
from quorate.core.errors import StoreUnavailable
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks
from quorate.core.names import check_name
from quorate.watch.feed import Overflow

from .discovery_cache import DiscoveryCache, DiscoveryCacheStats
from .events import DiscoveryRecovered, DiscoveryStale
from .following import Audience, Follower, FollowTerms
from .lookout import Lookout, LookoutHands, LookoutTerms
from .model import ServiceInfo, Snapshot
from .ports import RegistryReader, ServiceCount
from .probing import Finding, Prober
from .service_watcher import OnList, ServiceWatcher
from .telling import tell_changed

Follow = Callable[[Snapshot], None]
"""Told every list and every change of its staleness, at once; must be quick."""

UPDATES_KEPT = 1024


@dataclass(frozen=True, slots=True)
class DiscoveryTerms:
    """How discovery works. A first lookup waits for `first_s` seconds at most."""

    follow: FollowTerms = field(default_factory=FollowTerms)
    look: LookoutTerms = field(default_factory=LookoutTerms)
    first_s: float = 10.0
    cache_ttl_s: float = 300.0
    cache_size_max: int = 1000


@dataclass(frozen=True, slots=True)
class DiscoveryStats:
    """Counts of one discovery. `stale` is how many followed services are stale now."""

    cache: DiscoveryCacheStats
    stale: int
    snapshots: int
    changes: int
    probes: int


class ServiceDiscovery(Audience):
    """Looks services up, and watches them. `await start()` before use.

    Before that, `join` may be set to what lets this process live in the registry, and
    `on_new_history` to who is to be told that the store has lost its history.
    """

    def __init__(
        self,
        reader: RegistryReader,
        prober: Prober,
        terms: DiscoveryTerms,
        *,
        emit: Emit,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._reader = reader
        self._prober = prober
        self._terms = terms
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._cache = DiscoveryCache(terms.cache_ttl_s, terms.cache_size_max)
        self._tasks = Tasks(emit, clock)
        self._follows: dict[str, Tasks] = {}
        self._listeners: dict[str, list[Follow]] = {}
        self._watchers: set[ServiceWatcher] = set()
        self.join: Callable[[], Awaitable[object]] = _join_nothing
        self.on_new_history: Callable[[], None] = lambda: None

    async def start(self) -> None:
        self._tasks.employ(self.lookout())

    def lookout(self) -> Lookout:
        """The role that looks after the store while discovery is open."""
        return Lookout(
            self._reader,
            self._cache,
            self._clock,
            self._terms.look,
            LookoutHands(self.join, self.on_new_history, self._let_go),
        )

    async def stop(self) -> None:
        """Follow nobody any more. Whoever iterates over a watch comes to its end."""
        await self._tasks.close()
        for watcher in tuple(self._watchers):
            await watcher.close()
        for follower in self._cache:
            await self._let_go(follower)

    async def discover(self, service: str) -> list[ServiceInfo]:
        """All listed instances of `service`, fit or not, in the order of their ids.

        Answers from memory; only the first lookup of a service waits. While the store
        is away this is the last known list: `snapshot` says how old it is. Raises
        `StoreUnavailable` only for a service that was never loaded.
        """
        return list((await self.snapshot(service)).instances)

    async def get_instances(self, service: str) -> list[ServiceInfo]:
        """The same as `discover`."""
        return await self.discover(service)

    async def snapshot(self, service: str) -> Snapshot:
        """The list with its revision and, while the store is away, `stale_since`."""
        follower = self._follow(service)
        if follower.snapshot is None:
            await self._first(follower)
        assert follower.snapshot is not None
        return follower.snapshot

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """Every snapshot from now on, beginning with the present one.

        Revisions strictly increase within one epoch and none is left out; another epoch
        says that the history was lost or that somebody was given up without a revision.
        Who is over a thousand snapshots behind is given the newest.
        """
        follower = self._follow(service)
        self._cache.keep(service)
        try:
            with follower.feed.subscribe(Overflow.EVERY, UPDATES_KEPT) as updates:
                async for update in updates:
                    yield update.value
        finally:
            self._cache.release(service, self._clock.monotonic())

    async def wait_for(
        self, service: str, holds: Callable[[Snapshot], bool], *, within_s: float = 10.0
    ) -> Snapshot:
        """The first snapshot for which `holds` is true, which may be the present one.

        Raises `TimeoutError` after `within_s` seconds.
        """
        follower = self._follow(service)
        self._cache.keep(service)
        try:
            async with asyncio.timeout(within_s):
                with follower.feed.subscribe(Overflow.EVERY, UPDATES_KEPT) as updates:
                    async for update in updates:
                        if holds(update.value):
                            return update.value
        finally:
            self._cache.release(service, self._clock.monotonic())
        raise StoreUnavailable(f"Discovery stopped while waiting for {service!r}.")

    def add_watcher(self, service: str, callback: OnList) -> ServiceWatcher:
        """Call `callback` with the list of instances, now if known, and after changes.

        Calls are made one at a time and in order, apart from everybody else's.
        """
        watcher = ServiceWatcher(service, callback, self._emit, self._clock)
        leave = self.listen(service, watcher.tell)

        def on_close() -> None:
            leave()
            self._watchers.discard(watcher)

        watcher.on_close = on_close
        self._watchers.add(watcher)
        return watcher

    def listen(self, service: str, told: Follow) -> Callable[[], None]:
        """Tell `told` every list of `service` at once, the present one first."""
        follower = self._follow(service)
        self._cache.keep(service)
        self._listeners.setdefault(service, []).append(told)
        if follower.snapshot is not None:
            told(follower.snapshot)

        def leave() -> None:
            self._listeners[service].remove(told)
            self._cache.release(service, self._clock.monotonic())

        return leave

    async def services(self) -> list[ServiceCount]:
        """Every service that has instances; asks the store."""
        return list(await self._reader.services())

    def followed(self) -> tuple[Snapshot, ...]:
        """The last snapshot of every service that is followed."""
        return tuple(f.snapshot for f in self._cache if f.snapshot is not None)

    def stats(self) -> DiscoveryStats:
        """What was looked up, read and probed so far."""
        return DiscoveryStats(
            cache=self._cache.stats(),
            stale=sum(s.stale_since is not None for s in self.followed()),
            snapshots=sum(follower.snapshots_read for follower in self._cache),
            changes=sum(follower.changes_read for follower in self._cache),
            probes=self._prober.probes,
        )

    def changed(self, before: Snapshot | None, after: Snapshot) -> None:
        tell_changed(before, after, self._emit)
        self._tell(after)

    def went_stale(self, snapshot: Snapshot, why: str) -> None:
        self._emit(
            DiscoveryStale(service=snapshot.name, revision=snapshot.revision, why=why)
        )
        self._tell(snapshot)

    def recovered(self, snapshot: Snapshot, stale_s: float) -> None:
        self._emit(
            DiscoveryRecovered(
                service=snapshot.name, revision=snapshot.revision, stale_s=stale_s
            )
        )
        self._tell(snapshot)

    def carries(self, info: ServiceInfo) -> None:
        async def told(found: Finding) -> None:
            follower = self._cache.peek(info.name)
            if found is Finding.NOBODY and follower is not None:
                follower.refuted(info.id)

        self._prober.ask(info, told)

    def _tell(self, snapshot: Snapshot) -> None:
        for told in tuple(self._listeners.get(snapshot.name, ())):
            told(snapshot)

    def _follow(self, service: str) -> Follower:
        now = self._clock.monotonic()
        follower = self._cache.get(service, now)
        if follower is not None:
            return follower
        check_name(service, "service")
        follower = Follower(
            service, self._reader, self._terms.follow, self, self._clock, self._chance
        )
        self._cache.add(follower, now)
        tasks = self._follows[service] = Tasks(self._emit, self._clock)
        follower.wake = tasks.employ(follower).wake
        return follower

    async def _first(self, follower: Follower) -> None:
        try:
            async with asyncio.timeout(self._terms.first_s):
                await follower.loaded.wait()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"Nothing is known of the service {follower.service!r} yet.",
                follower.why_not or "The registry has not answered.",
                "Try again when the registry is back; nothing was cached before.",
            ) from error

    async def _let_go(self, follower: Follower) -> None:
        follower.stop()
        tasks = self._follows.pop(follower.service, None)
        if tasks is not None:
            await tasks.close()


async def _join_nothing() -> None:
    """Without a session nobody sweeps; looking up works all the same."""
