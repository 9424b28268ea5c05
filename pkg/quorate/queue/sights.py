"""How worker processes stand now, for people who look at them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .counts import WorkerTally


class WorkerState(Enum):
    """What a worker's post is at."""

    STARTING = "starting"
    WORKING = "working"
    STALLED = "stalled"
    DRAINING = "draining"
    RESTING = "resting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSight:
    """One post: the process that holds it now, and what was done there so far.

    `pid` is 0 between two processes. `silent_s` is since its last beat, and `lag_s` is
    how late its event loop was then.
    """

    number: int
    state: WorkerState
    tally: WorkerTally
    pid: int = 0
    rss_bytes: int = 0
    age_s: float = 0.0
    silent_s: float = 0.0
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker process's share in one queue, as it last told.

    `places` is how many tasks it runs at once; `rate` is tasks done per second.
    """

    session: str
    running: int = 0
    places: int = 0
    rate: float = 0.0
    done_total: int = 0
    retried_total: int = 0
    dead_total: int = 0

    @property
    def process(self) -> str:
        """Its host and process id."""
        return self.session.rpartition("-")[0] or self.session
