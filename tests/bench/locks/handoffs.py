"""What the moments of contending processes tell. Pure.

A handoff is from the call that gives the lock back to the next holder being inside,
whoever that is. A grant is overtaken if somebody who asked clearly later, by more than
`TOLERANCE_S`, was inside before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tests.bench.spread import Spread

TOLERANCE_S = 0.001
MS = 1e3

Row = tuple[float, float, float]
"""Asked, inside, called to give back."""


def judge(rows_by_process: Sequence[Sequence[Row]], seconds: float) -> dict[str, Any]:
    """The figures of one run."""
    grants = sorted(
        (inside, leaving, asked, process)
        for process, rows in enumerate(rows_by_process)
        for asked, inside, leaving in rows
    )
    handoffs, same, overlaps, overtaken = [], 0, 0, 0
    latest_ask = 0.0
    for before, after in itertools.pairwise(grants):
        handoffs.append(after[0] - before[1])
        overlaps += after[0] < before[1]
        same += after[3] == before[3]
        latest_ask = max(latest_ask, before[2])
        overtaken += latest_ask > after[2] + TOLERANCE_S
    waits = [inside - asked for inside, _, asked, _ in grants]
    shares = [len(rows) for rows in rows_by_process]
    return {
        "grants": len(grants),
        "grants_per_s": len(grants) / seconds,
        "handoff_ms": _facts(handoffs),
        "wait_ms": _facts(waits),
        "same_process_pct": 100 * same / max(1, len(handoffs)),
        "overtaken_pct": 100 * overtaken / max(1, len(handoffs)),
        "overlaps": overlaps,
        "fewest_grants_of_a_process": min(shares),
        "most_grants_of_a_process": max(shares),
    }


def _facts(seconds: Sequence[float]) -> dict[str, float]:
    spread = Spread.of(seconds, MS)
    return {
        "n": spread.n,
        "p50": round(spread.p50, 3),
        "p99": round(spread.p99, 3),
        "max": round(spread.max, 3),
    }
