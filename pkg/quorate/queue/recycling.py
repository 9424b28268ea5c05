"""When a worker process has done enough and a fresh one takes its place.

Memory that leaks in handlers goes with the process. The limits differ a little from one
process to the next, so that those started together do not leave together, and only one
leaves at a time. Pure, but for whose turn it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.clock import Chance

from .counts import WorkerTally

SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class RecycleTerms:
    """After so many tasks, or above so much resident memory. 0 sets no limit."""

    after_tasks: int = 0
    above_bytes: int = 0


class Recycler:
    """Shared by all posts of a supervisor."""

    def __init__(self, terms: RecycleTerms | None = None) -> None:
        self._terms = terms or RecycleTerms()
        self._turn: object | None = None

    def tasks_for_one(self, chance: Chance) -> int:
        """How many tasks the next process may do: up to a tenth fewer than asked."""
        most = self._terms.after_tasks
        return max(1, round(most * (1 - SPREAD * chance.random()))) if most else 0

    def why(self, tally: WorkerTally, rss_bytes: int, tasks: int) -> str:
        """The reason for which this process should go; empty if there is none."""
        if tasks and tally.claimed_total >= tasks:
            return f"it has done {tally.claimed_total} tasks"
        above = self._terms.above_bytes
        if above and rss_bytes > above:
            return f"it uses {rss_bytes / 2**20:.0f} MiB"
        return ""

    def take_turn(self, who: object) -> bool:
        """May this one go now? The turn lasts until its successor is ready."""
        if self._turn is None:
            self._turn = who
        return self._turn is who

    def end_turn(self, who: object) -> None:
        """Let another go."""
        if self._turn is who:
            self._turn = None
