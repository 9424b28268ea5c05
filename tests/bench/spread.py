"""How samples lie. Pure, and needs nothing, so that any environment can use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """How a set of samples lies; in the unit of the samples."""

    n: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, samples: Iterable[float], scale: float = 1.0) -> Spread:
        """The nearest ranks of `samples`, times `scale`. Raises for none at all."""
        ordered = sorted(samples)
        if not ordered:
            raise ValueError("nothing was measured")

        def rank(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * scale

        return cls(len(ordered), rank(0.5), rank(0.99), ordered[-1] * scale)


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
