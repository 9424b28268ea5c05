"""What is told of the locks: the tables of the page, and a window in one line."""

from __future__ import annotations

from tests.bench.figures import Figures
from tests.bench.locks import tables

TOLD = (
    *("per_s", "acquire_us", "release_us", "pair_us", "bare_us", "heard_us"),
    *("grants_per_s", "handoff_ms", "wait_ms", "same_process_pct", "overtaken_pct"),
    *("overlaps", "requests_a_pair", "requests_a_grant", "requests_a_return"),
    *("seconds", "granted", "requests", "requests_per_s", "beyond_renewal_per_s"),
    *("client_cpu_pct", "renewals"),
)


def blocks(figures: Figures) -> dict[str, str]:
    """The tables, by their place on the page."""
    return {
        "uncontended": tables.uncontended(figures),
        "distinct": tables.distinct(figures),
        "contended": tables.contended(figures),
        "crowd": tables.crowd(figures),
        "idle": tables.idle(figures),
        "alone": tables.alone(figures),
    }
