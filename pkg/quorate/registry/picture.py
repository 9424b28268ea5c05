"""What one process believes about one service, and how news change it. Pure.

The truth is the store's. What a lost or rewritten history no longer has is carried over
for a while, as suspect: a store that has just been emptied says nothing about who is
alive. Within one epoch revisions strictly increase; what changes without a revision is
shown under a further name of the epoch, so that nobody takes it for the next revision.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from quorate.verdict.model import HealthStatus

from .model import ServiceInfo, Snapshot
from .ports import Change


@dataclass(frozen=True, slots=True)
class Picture:
    """The store's own snapshot, and who is carried over until `carried_until`."""

    truth: Snapshot
    carried: Mapping[str, ServiceInfo] = field(default_factory=dict, hash=False)
    carried_until: float = 0.0
    breaks: int = 0

    @property
    def shown(self) -> Snapshot:
        """What discovery tells: the truth, and those who are carried over."""
        truth = self.truth
        if not self.carried and not self.breaks:
            return truth
        epoch = f"{truth.epoch}~{self.breaks}" if self.breaks else truth.epoch
        return Snapshot.of(
            truth.name,
            (*truth.instances, *self.carried.values()),
            epoch=epoch,
            revision=truth.revision,
            loaded_at=truth.loaded_at,
        )

    def after_snapshot(self, fresh: Snapshot, now: float, carry_s: float) -> Picture:
        """The picture after a whole new snapshot."""
        truth = self.truth
        if fresh.epoch == truth.epoch:
            if fresh.revision > truth.revision:
                return replace(
                    self, truth=fresh, carried=_without(self.carried, fresh.by_id)
                )
            if fresh.revision == truth.revision and _same(fresh, truth):
                return self
        missing = {
            info.id: replace(info, suspect=True)
            for info in self.shown.instances
            if info.id not in fresh.by_id
        }
        same_history = fresh.epoch == truth.epoch
        return Picture(
            truth=fresh,
            carried=missing,
            carried_until=self.carried_until if self.carried else now + carry_s,
            breaks=self.breaks + 1 if same_history else 0,
        )

    def after_change(self, change: Change, now: float) -> Picture:
        """The picture one revision later."""
        truth = _with_change(self.truth, change, now)
        if not self.carried:
            return replace(self, truth=truth)
        return replace(
            self, truth=truth, carried=_without(self.carried, (change.instance,))
        )

    def refuted(self, instance: str) -> Picture:
        """The picture after a probe found nobody where `instance` was carried over."""
        if instance not in self.carried:
            return self
        return replace(
            self,
            carried=_without(self.carried, (instance,)),
            breaks=self.breaks + 1,
        )

    def at(self, now: float) -> Picture:
        """The picture as time goes by: nobody is carried over for ever."""
        if not self.carried or now < self.carried_until:
            return self
        return replace(self, carried={}, breaks=self.breaks + 1)


def _with_change(truth: Snapshot, change: Change, now: float) -> Snapshot:
    """One instance replaced where it stands, without sorting the others again."""
    at = bisect_left(truth.instances, change.instance, key=lambda info: info.id)
    after = at + (change.instance in truth.by_id)
    entry = () if change.info is None else (change.info,)
    by_id = dict(truth.by_id.items())
    by_id.pop(change.instance, None)
    if change.info is not None:
        by_id[change.instance] = change.info
    return Snapshot(
        name=truth.name,
        epoch=truth.epoch,
        revision=change.revision,
        instances=(*truth.instances[:at], *entry, *truth.instances[after:]),
        by_id=MappingProxyType(by_id),
        loaded_at=now,
    )


def _without(
    carried: Mapping[str, ServiceInfo], ids: Iterable[str]
) -> Mapping[str, ServiceInfo]:
    gone = set(ids)
    return {key: info for key, info in carried.items() if key not in gone}


def _same(one: Snapshot, other: Snapshot) -> bool:
    """Equal in all that is a revision: suspicion comes with time, and the text beside
    a state of health changes silently."""
    if one.instances == other.instances:
        return True
    return _revised(one) == _revised(other)


def _revised(snapshot: Snapshot) -> list[ServiceInfo]:
    return [
        replace(
            info,
            suspect=False,
            health=HealthStatus(info.health.status),
            last_check=None,
        )
        for info in snapshot.instances
    ]
