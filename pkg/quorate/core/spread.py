"""How long things took: how many of them up to each of a few fixed bounds. Pure.

Enough for a histogram, at the cost of one addition each; nothing is kept of any single
one. The bounds are the same everywhere, so that spreads can be added up and compared.
"""

from __future__ import annotations

from bisect import bisect_left

from .series import Buckets

BOUNDS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)


class Spread:
    """A spread that grows."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def add(self, took_s: float) -> None:
        """One more."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1
        self._sum_s += took_s

    def seen(self) -> Buckets:
        """What it is by now."""
        return Buckets(BOUNDS_S, tuple(self._counts), self._sum_s)


NOTHING = Spread().seen()
"""The spread of what never happened."""
