"""How well a system served while it was harmed, and how soon it served again. Pure.

Safety is judged by the checkers; this is what a user would have noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .history import Operation

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Availability:
    """Shares of the operations, and times in seconds.

    `longest_gap_s` is the longest time without a success; `recoveries_s` has, for each
    fault, the time from its beginning to the next success that began after it.
    """

    succeeded: int
    failed: int
    open: int
    longest_gap_s: float
    recoveries_s: tuple[float, ...]

    @property
    def share(self) -> float:
        """Successes among all; 1 where nothing was asked."""
        asked = self.succeeded + self.failed + self.open
        return self.succeeded / asked if asked else 1.0


def availability(
    operations: Iterable[Operation],
    failed: Sequence[Operation] = (),
    faults: Iterable[Operation] = (),
) -> Availability:
    """What users noticed. `faults` are the nemesis' own operations."""
    happened = list(operations)
    good = sorted(
        (op.called_ns, op.returned_ns) for op in happened if op.returned_ns is not None
    )
    ends = sorted(end for _, end in good)
    gaps = [(after - before) / NS for before, after in pairwise(ends)]
    recoveries: list[float] = []
    for fault in faults:
        later = [end for called, end in good if called >= fault.called_ns]
        if later:
            recoveries.append((min(later) - fault.called_ns) / NS)
    return Availability(
        succeeded=len(good),
        failed=len(failed),
        open=len(happened) - len(good),
        longest_gap_s=max(gaps, default=0.0),
        recoveries_s=tuple(recoveries),
    )
