"""From two snapshots to the facts between them, as events."""

from __future__ import annotations

from quorate.core.events import Emit

from .events import (
    InstanceAdminChanged,
    InstanceGone,
    InstanceHealthChanged,
    InstanceJoined,
    InstanceSuspected,
)  # fmt: skip
from .model import ServiceInfo, Snapshot, difference


def tell_changed(before: Snapshot | None, after: Snapshot, emit: Emit) -> None:
    """Tell what `after` changed. The first snapshot is where the story begins."""
    if before is None:
        return
    found = difference(before, after)
    for info in found.added:
        emit(
            InstanceJoined(
                service=info.name,
                instance=info.id,
                endpoint=info.endpoint,
                revision=after.revision,
            )
        )
    for old, new in found.changed:
        _tell_of_one(old, new, emit)
    for info in found.removed:
        emit(
            InstanceGone(
                service=info.name,
                instance=info.id,
                endpoint=info.endpoint,
                revision=after.revision,
            )
        )


def _tell_of_one(old: ServiceInfo, new: ServiceInfo, emit: Emit) -> None:
    if new.suspect and not old.suspect:
        emit(InstanceSuspected(service=new.name, instance=new.id))
    if old.health.status is not new.health.status:
        emit(
            InstanceHealthChanged(
                service=new.name,
                instance=new.id,
                old=old.health.status.value,
                new=new.health.status.value,
                reason=new.health.message,
                revision=new.revision,
            )
        )
    if old.admin_state is not new.admin_state:
        emit(
            InstanceAdminChanged(
                service=new.name,
                instance=new.id,
                old=old.admin_state.value,
                new=new.admin_state.value,
                revision=new.revision,
            )
        )
