"""What schedules need of the server that keeps them.

A record is written by compare-and-set, and in the same step as the tasks that it stands
for: so it does not matter how many look after schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .ports import Parcel


@dataclass(frozen=True, slots=True)
class Looked:
    """Schedules as the server has them: records, and whether the last task still runs.

    `now` is the server's time; `next_in_s` is when another one will be due.
    """

    now: float
    next_in_s: float | None
    records: tuple[tuple[bytes, bool], ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Whether a record was written as wanted, and how many tasks with it."""

    is_ours: bool
    put_in: int


class ScheduleStore(Protocol):
    """The schedules of one queue. They are written by compare-and-set."""

    async def due(self, most: int) -> Looked:
        """Those to be looked at now."""
        ...

    async def all(self) -> Looked: ...

    async def one(self, name: str) -> Looked: ...

    async def move(
        self,
        name: str,
        before: bytes,
        after: bytes,
        look_at: float | None,
        parcels: Sequence[Parcel] = (),
    ) -> Moved:
        """Write the record and put the tasks in, if it is still `before`.

        Both or neither; safe to repeat. Nothing `before`: it is new; nothing `after`:
        it is removed.
        """
        ...
