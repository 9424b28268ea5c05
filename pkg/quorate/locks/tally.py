"""The counts behind `LockStats`: one row for each template of names.

A template is what a decorator was given, such as `user:{user_id}`; locks that are named
where they are taken share a row. The rows are few, whatever the names are.
"""

from __future__ import annotations

from quorate.core.spread import Spread

from .bid import Attempt
from .hold import Hold
from .model import LockStats, TemplateStats
from .wish import Wish

MOST_TEMPLATES = 200
OTHERS = "(others)"
"""What further templates are counted as, so that there are never too many."""


class Row:
    """The counts of one template."""

    __slots__ = ("contended", "denied", "hold", "lost", "wait")

    def __init__(self) -> None:
        self.contended = self.denied = self.lost = 0
        self.wait = Spread()
        self.hold = Spread()

    def stats(self) -> TemplateStats:
        wait = self.wait.seen()
        return TemplateStats(
            acquired_total=sum(wait.counts),
            contended_total=self.contended,
            denied_total=self.denied,
            lost_total=self.lost,
            wait_s=wait,
            hold_s=self.hold.seen(),
        )


class Tally:
    """The counts of one lock manager."""

    def __init__(self) -> None:
        self.reentered = self.passed = self.deadlocks = self.waiting = 0
        self._rows: dict[str, Row] = {}

    def entered(self, attempt: Attempt, now: float) -> None:
        """A block has its lock."""
        row = self._rows.get(attempt.wish.template) or self._row(attempt.wish)
        row.contended += attempt.contended
        row.wait.add(now - attempt.started)

    def left(self, hold: Hold, now: float) -> None:
        """A block that was entered has ended."""
        row = self._rows.get(hold.wish.template) or self._row(hold.wish)
        row.hold.add(now - hold.since)

    def denied(self, wish: Wish) -> None:
        """Somebody waited in vain."""
        self._row(wish).denied += 1

    def lost(self, wish: Wish) -> None:
        """Somebody inside has lost its lock."""
        self._row(wish).lost += 1

    def stats(self, held: int) -> LockStats:
        """What has been counted, and what is held now."""
        rows = {name: row.stats() for name, row in self._rows.items()}
        return LockStats(
            acquired_total=sum(row.acquired_total for row in rows.values()),
            reentered_total=self.reentered,
            contended_total=sum(row.contended_total for row in rows.values()),
            passed_total=self.passed,
            deadlocks_total=self.deadlocks,
            denied_total=sum(row.denied_total for row in rows.values()),
            lost_total=sum(row.lost_total for row in rows.values()),
            wait_s_total=sum(row.wait_s.total for row in rows.values()),
            hold_s_total=sum(row.hold_s.total for row in rows.values()),
            held=held,
            waiting=self.waiting,
            by_template=rows,
        )

    def _row(self, wish: Wish) -> Row:
        name = wish.template
        if name not in self._rows and len(self._rows) >= MOST_TEMPLATES:
            name = OTHERS
        return self._rows.setdefault(name, Row())
