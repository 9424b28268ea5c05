"""Counts since the start, as metrics read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerTally:
    """What came of tasks in one process, or in several; `running` is of now.

    `postponed` retries were beyond the retry budget of their name, and rest longer.
    """

    claimed_total: int = 0
    done_total: int = 0
    retried_total: int = 0
    dead_total: int = 0
    back_total: int = 0
    cancelled_total: int = 0
    stale_total: int = 0
    exchanges_total: int = 0
    running: int = 0
    postponed_total: int = 0


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """What this process and its workers did. `stale` completions were refused.

    `fired` tasks are those of schedules that this process has put in; `on_disk` wait in
    its outbox.
    """

    enqueued_total: int
    claimed_total: int
    done_total: int
    retried_total: int
    dead_total: int
    cancelled_total: int
    back_total: int
    stale_total: int
    exchanges_total: int
    running: int
    workers: int
    postponed_total: int = 0
    fired_total: int = 0
    on_disk: int = 0


def added_up(tallies: Iterable[WorkerTally]) -> WorkerTally:
    """All of them together."""
    tallies = tuple(tallies)
    names = WorkerTally.__slots__
    return WorkerTally(
        **{name: sum(getattr(tally, name) for tally in tallies) for name in names}
    )
