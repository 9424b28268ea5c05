"""Numbers with labels, as whoever counts hands them to whoever shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a series does: grows, goes up and down, or counts by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Buckets:
    """How many were at most as large as each bound; the last count has no bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Series:
    """One metric: its name ends in its unit; labels come from closed sets only."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...]
    samples: Mapping[tuple[str, ...], float | Buckets]
