"""What a balancer remembers of each instance, across every new list of instances.

A record survives when its instance is not listed for a while, so that one that comes
and goes does not look fresh each time. Pure: time and chance are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quorate.core.clock import Chance

GONE_KEPT = 256
LEARNING = 0.2
FORGETTING_S = 10.0
LOWEST_SUCCESS = 0.05


@dataclass(slots=True, eq=False)
class Record:
    """One instance's account.

    `success` is the share of calls that went well, recent ones counting most. It
    recovers by itself while nobody calls, so that a repaired instance is tried again.
    """

    in_flight: int = 0
    picked: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    busy_s: float = 0.0
    turn: int = 0
    _success: float = 1.0
    _judged_at: float = 0.0

    def success(self, now: float) -> float:
        """From 0.05 (it all went wrong) to 1.0."""
        if self._success > 0.999:
            return 1.0
        forgotten = math.exp(-max(0.0, now - self._judged_at) / FORGETTING_S)
        return max(LOWEST_SUCCESS, 1.0 - (1.0 - self._success) * forgotten)

    def begin(self) -> None:
        """A call goes there."""
        self.in_flight += 1
        self.picked += 1

    def end(self, took_s: float, *, succeeded: bool, now: float) -> None:
        """The call came back."""
        self.in_flight -= 1
        self.busy_s += took_s
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
        known = self.success(now)
        self._success = known + LEARNING * (float(succeeded) - known)
        self._judged_at = now

    def cancel(self) -> None:
        """The caller gave up: that says nothing about the instance."""
        self.in_flight -= 1
        self.cancelled += 1


class Memory:
    """What outlives a picker: the records, and where the round stands.

    `chance` and `now` (monotonic seconds) are what pickers decide by.
    """

    def __init__(self, chance: Chance, now: Callable[[], float]) -> None:
        self.chance = chance
        self.now = now
        self.last_turn: str | None = None
        self._records: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def record(self, instance_id: str) -> Record:
        """The instance's record; a new one if it was never seen."""
        record = self._records.get(instance_id)
        if record is None:
            record = self._records[instance_id] = Record()
        return record

    def prune(self, listed: Iterable[str]) -> None:
        """Drop the oldest records of instances that are not listed and not in use."""
        keep = set(listed)
        gone = [
            instance_id
            for instance_id, record in self._records.items()
            if instance_id not in keep and record.in_flight == 0
        ]
        for instance_id in gone[: max(0, len(gone) - GONE_KEPT)]:
            del self._records[instance_id]
