"""Follows one service: a snapshot, then every change by revision, then all over again.

A message says that there is news; the news are read from the service's log after the
own revision. A gap, another epoch and every lost connection lead to a snapshot, because
what was missed cannot be known. While the store is away the last snapshot serves on and
says since when it is stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from quorate.core.clock import Chance, Clock
from quorate.core.errors import StoreError
from quorate.watch.feed import Feed
from quorate.watch.versioned import Versioned

from .model import ServiceInfo, Snapshot
from .picture import Picture
from .ports import MISSED, RegistryReader


@dataclass(frozen=True, slots=True)
class FollowTerms:
    """How a service is followed, in seconds.

    Revisions are compared every `resync_every_s`, give or take a fifth. What an emptied
    store no longer has is carried over for `carry_s`.
    """

    resync_every_s: float = 15.0
    spread: float = 0.2
    retry_s: float = 0.25
    retry_s_max: float = 1.0
    carry_s: float = 18.0


class Audience:
    """What a follower tells. Replace what you want to hear; nothing here waits."""

    def changed(self, before: Snapshot | None, after: Snapshot) -> None:
        """There is another list."""

    def went_stale(self, snapshot: Snapshot, why: str) -> None:
        """The list is the same, but the store does not answer any more."""

    def recovered(self, snapshot: Snapshot, stale_s: float) -> None:
        """The store answers again."""

    def carries(self, info: ServiceInfo) -> None:
        """`info` is listed although the store has lost it: somebody should look."""


class Follower:
    """A role that keeps one service's snapshot. `wake` is set by who employs it."""

    def __init__(
        self,
        service: str,
        reader: RegistryReader,
        terms: FollowTerms,
        audience: Audience,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self.service = service
        self.name = f"follower of {service}"
        self.feed: Feed[Snapshot] = Feed()
        self.loaded = asyncio.Event()
        self.why_not = ""
        self.wake: Callable[[], None] = lambda: None
        self._reader = reader
        self._terms = terms
        self._audience = audience
        self._clock = clock
        self._chance = chance
        self._picture: Picture | None = None
        self._shown: Snapshot | None = None
        self._leave: Callable[[], None] | None = None
        self._must_load = True
        self._failures = 0
        self._fresh_at = 0.0
        self.snapshots_read = 0
        self.changes_read = 0

    @property
    def snapshot(self) -> Snapshot | None:
        """The last known list; None before the first."""
        return self._shown

    @property
    def store_epoch(self) -> str | None:
        """The epoch of the store as this follower knows it."""
        return self._picture.truth.epoch if self._picture else None

    async def tick(self) -> float:
        """Catch up with the store. Returns the seconds until the next look."""
        asked_at = self._clock.monotonic()
        try:
            if self._leave is None:
                self._leave = await self._reader.listen(self.service, self._hear)
            await self._catch_up(asked_at)
        except StoreError as error:
            self.out_of_sight(f"{error.what} {error.why}".strip())
            self._failures += 1
            doubled_s = self._terms.retry_s * 2.0 ** min(self._failures - 1, 8)
            rest_s = min(self._terms.retry_s_max, doubled_s)
            return rest_s * (0.75 + 0.25 * self._chance.random())
        self._failures = 0
        return self._rest_s()

    def look_again(self) -> None:
        """Take a snapshot at the next look, which is now."""
        self._must_load = True
        self.wake()

    def out_of_sight(self, why: str) -> None:
        """The store does not answer: from now on the list is known to be stale."""
        self.why_not = why
        self._must_load = True
        shown = self._shown
        if shown is not None and shown.stale_since is None:
            self._shown = shown.gone_stale(self._fresh_at)
            self._audience.went_stale(self._shown, why)

    def still_in_sight(self, asked_at: float) -> None:
        """The store has answered somebody: what is not stale is fresh until then."""
        if self._shown is not None and self._shown.stale_since is None:
            self._fresh_at = max(self._fresh_at, asked_at)

    def refuted(self, instance: str) -> None:
        """A probe found nobody where `instance` is carried over."""
        if self._picture is not None:
            self._show(self._picture.refuted(instance))

    def stop(self) -> None:
        """Hear no more; whoever iterates comes to an end."""
        if self._leave is not None:
            self._leave()
            self._leave = None
        self.feed.close()

    def _hear(self, epoch: str, revision: int) -> None:
        if (epoch, revision) == MISSED:
            self._must_load = True
        elif self._picture is not None:
            truth = self._picture.truth
            if epoch == truth.epoch and revision <= truth.revision:
                return
        self.wake()

    async def _catch_up(self, asked_at: float) -> None:
        picture = self._picture
        if picture is None or self._must_load:
            await self._load(asked_at)
            return
        truth = picture.truth
        changes = await self._reader.changes(self.service, truth.epoch, truth.revision)
        if changes is None:
            await self._load(asked_at)
            return
        self._in_sight(asked_at)
        now = self._clock.monotonic()
        for change in changes:
            self.changes_read += 1
            picture = picture.after_change(change, now)
            self._show(picture)
        self._show(picture.at(now))

    async def _load(self, asked_at: float) -> None:
        self._must_load = False
        try:
            fresh = await self._reader.snapshot(self.service)
        except BaseException:
            self._must_load = True
            raise
        self.snapshots_read += 1
        self._in_sight(asked_at)
        now, before = self._clock.monotonic(), self._picture
        if before is None:
            self._show(Picture(fresh))
            return
        after = before.after_snapshot(fresh, now, self._terms.carry_s).at(now)
        self._show(after)
        for ident, info in after.carried.items():
            if ident not in before.carried:
                self._audience.carries(info)

    def _show(self, picture: Picture) -> None:
        """Publish the picture, if anything about it is news."""
        if picture is self._picture:
            return
        self._picture = picture
        before, after = self._shown, picture.shown
        if before is not None and before.stale_since is not None:
            after = replace(after, stale_since=before.stale_since)
        self._shown = after
        self.feed.publish(Versioned(after, after.revision, after.epoch))
        self._audience.changed(before, after)
        self.loaded.set()

    def _in_sight(self, asked_at: float) -> None:
        self._fresh_at = asked_at
        shown = self._shown
        if shown is not None and shown.stale_since is not None:
            stale_s = self._clock.monotonic() - shown.stale_since
            self._shown = replace(shown, stale_since=None)
            self._audience.recovered(self._shown, stale_s)

    def _rest_s(self) -> float:
        spread = self._terms.spread * (2 * self._chance.random() - 1)
        rest_s = self._terms.resync_every_s * (1 + spread)
        if self._picture is not None and self._picture.carried:
            left_s = self._picture.carried_until - self._clock.monotonic()
            rest_s = min(rest_s, max(0.0, left_s))
        return rest_s
