"""How long things took: how many of them up to each of a few fixed bounds. Pure.

Enough for a histogram, at the cost of one addition each; nothing is kept of any single
one. The bounds are the same everywhere, so that spreads can be added up and compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

BOUNDS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """What was seen. `counts`: up to each bound from the one before, then above all."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Each bound in seconds, and how many took no longer; infinity at the end."""
        yield from zip((*BOUNDS_S, float("inf")), accumulate(self.counts), strict=True)


class Spreading:
    """A spread that grows."""

    __slots__ = ("_counts", "sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, took_s: float) -> None:
        """One more."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.sum_s += took_s

    def seen(self) -> Spread:
        """What it is by now."""
        return Spread(tuple(self._counts), self.sum_s)
