"""How many attempts of which task came to what end, how long they waited and ran.

One row of numbers for each name of a task, so that rows of several processes are added
up number by number. Names come from registered handlers, and there are few of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from quorate.core.series import Buckets, Kind, Series

from .model import LANES, PRIORITIES, MoveKind

BOUNDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
"""Seconds. Pickup is milliseconds, an attempt at most five minutes unless said else."""

MOST_NAMES = 200
OTHERS = "others"
OUTCOMES = tuple(MoveKind)
_NUMBER_OF = {kind._value_: number for number, kind in enumerate(OUTCOMES)}
_RUN = LANES * len(OUTCOMES)
_RUN_SUM = _RUN + len(BOUNDS) + 1
_WAIT = _RUN_SUM + 1
_WAIT_SUM = _WAIT + len(BOUNDS) + 1
WIDTH = _WAIT_SUM + 1

Rows = Mapping[str, list[float]]


class Measures:
    """The rows of one process."""

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = {}

    @property
    def rows(self) -> Rows:
        return self._rows

    def over(
        self, name: str, lane: int, kind: MoveKind, run_s: float, wait_s: float | None
    ) -> None:
        """An attempt is over. `wait_s` is from its enqueueing; None if not known."""
        row = self._rows.get(name)
        if row is None:
            row = self._row(name)
        row[lane * len(OUTCOMES) + _NUMBER_OF[kind._value_]] += 1
        row[_RUN + bisect_left(BOUNDS, run_s)] += 1
        row[_RUN_SUM] += run_s
        if wait_s is not None:
            row[_WAIT + bisect_left(BOUNDS, wait_s)] += 1
            row[_WAIT_SUM] += wait_s

    def _row(self, name: str) -> list[float]:
        if len(self._rows) >= MOST_NAMES:
            name = OTHERS
        return self._rows.setdefault(name, [0] * WIDTH)


def together(parts: Iterable[Rows]) -> dict[str, list[float]]:
    """All of them added up."""
    total: dict[str, list[float]] = {}
    for rows in parts:
        for name, row in rows.items():
            known = total.get(name)
            total[name] = (
                list(row)
                if known is None
                else [a + b for a, b in zip(known, row, strict=True)]
            )
    return total


def series_of(rows: Rows) -> tuple[Series, ...]:
    """The rows as metrics."""
    finished: dict[tuple[str, ...], float] = {}
    ran: dict[tuple[str, ...], Buckets] = {}
    waited: dict[tuple[str, ...], Buckets] = {}
    for name, row in rows.items():
        for lane, priority in enumerate(PRIORITIES):
            for number, kind in enumerate(OUTCOMES):
                count = row[lane * len(OUTCOMES) + number]
                if count:
                    finished[(name, priority.value, kind.value)] = count
        ran[(name,)] = _buckets(row, _RUN)
        waited[(name,)] = _buckets(row, _WAIT)
    return (
        Series(
            "quorate_queue_attempts_total",
            "Attempts that ended, by task, lane and what became of the task.",
            Kind.COUNTER,
            ("task", "lane", "outcome"),
            finished,
        ),
        Series(
            "quorate_queue_run_seconds",
            "How long attempts ran.",
            Kind.HISTOGRAM,
            ("task",),
            ran,
        ),
        Series(
            "quorate_queue_wait_seconds",
            "From enqueueing to the first attempt, its delay included.",
            Kind.HISTOGRAM,
            ("task",),
            waited,
        ),
    )


def _buckets(row: list[float], start: int) -> Buckets:
    end = start + len(BOUNDS) + 1
    return Buckets(BOUNDS, tuple(int(count) for count in row[start:end]), row[end])
