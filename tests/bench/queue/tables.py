"""The tables of the report on queues, one function each."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.entries import Entry
from tests.bench.figures import Figures, table
from tests.bench.queue.roster import (
    BEST,
    FORKED,
    OURS,
    OURS_WIDE,
    PLAIN,
    TUNED,
    WITH_ASYNCIO,
    WITH_BULK,
)
from tests.bench.spread import median

COSTS = ("commands", "server reads", "client µs", "server µs")


def _tuned(plain: Entry) -> tuple[Entry, ...]:
    return tuple(entry for entry in TUNED if entry.key == f"{plain.key}-tuned")


EVERYBODY = (
    OURS,
    OURS_WIDE,
    *(entry for plain in PLAIN for entry in (plain, *_tuned(plain))),
    *FORKED,
)


def one(figures: Figures) -> str:
    return _rates(figures, "one", EVERYBODY)


def two(figures: Figures) -> str:
    return _rates(figures, "two", (OURS, *BEST))


def busy(figures: Figures) -> str:
    rows = []
    for entry in (OURS, *BEST):
        if not figures.told_of("one-busy", entry.key):
            continue
        one, two = (
            figures.results.values(f"{n}-busy", entry.key, "result.per_s")
            for n in ("one", "two")
        )
        ratio = f"{median(two) / median(one):.2f}×" if one and two else "–"
        rows.append(
            (
                figures.titled("two-busy", entry.key, entry.title),
                figures.rate("one-busy", entry.key),
                figures.rate("two-busy", entry.key),
                ratio,
            )
        )
    heads = ("", "one process, tasks/s", "two processes, tasks/s", "two over one")
    return table(heads, rows)


def distance(figures: Figures) -> str:
    return _rates(figures, "distance", (OURS, *BEST))


def _rates(figures: Figures, scenario: str, entries: Sequence[Entry]) -> str:
    rows = [
        (
            figures.titled(scenario, entry.key, entry.title),
            figures.rate(scenario, entry.key),
            *_costs(figures, scenario, entry.key),
        )
        for entry in entries
        if figures.told_of(scenario, entry.key)
    ]
    return table(("", "tasks/s (range; windows)", *COSTS), rows)


def _costs(figures: Figures, scenario: str, peer: str) -> tuple[str, ...]:
    return (
        figures.per_op(scenario, peer, "commands", ".2f"),
        figures.per_op(scenario, peer, "reads", ".3f"),
        figures.mid(scenario, peer, "result.client_cpu_us", ",.0f"),
        figures.per_op(scenario, peer, "cpu_s", ",.1f", 1e6),
    )


def enqueue(figures: Figures) -> str:
    rows = []
    for entry in (OURS, *PLAIN):
        rows.append(
            (
                figures.titled("singly", entry.key, entry.title),
                figures.rate("singly", entry.key),
                figures.rate("at-once", entry.key) if entry in WITH_ASYNCIO else "",
                figures.rate("bulk", entry.key) if entry in WITH_BULK else "",
                figures.per_op("singly", entry.key, "commands", ".1f"),
                figures.mid("singly", entry.key, "result.client_cpu_us", ",.0f"),
                figures.per_op("singly", entry.key, "cpu_s", ",.0f", 1e6),
            )
        )
    heads = ("", "singly/s", "64 at once/s", "100 a call/s", "commands", *COSTS[2:])
    return table(heads, rows)


def idle(figures: Figures) -> str:
    rows = []
    for entry in (OURS, *PLAIN):
        late, asked = (figures.of(what, entry.key) for what in ("pickup", "idle"))
        rows.append(
            (
                figures.titled("pickup", entry.key, entry.title),
                *(late(f"pickup_ms.{rank}", ",.2f") for rank in ("p50", "p99", "max")),
                asked("requests_per_s", ",.1f"),
                asked("server_cpu_pct", ".2f") + " %",
            )
        )
    heads = ("", "p50 ms", "p99 ms", "max ms", "idle requests/s", "idle server CPU")
    return table(heads, rows)
