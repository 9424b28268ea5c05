"""The tables of the report, one function each."""

from __future__ import annotations

from collections import Counter

from tests.bench.entries import Entry
from tests.bench.figures import Figures, table
from tests.bench.locks import roster
from tests.bench.locks.plan import CONTENDERS, FAIR
from tests.bench.locks.roster import OURS, PLAIN

FLOORS = (
    ("ours", "floor: `return 1` through Quorate's connection"),
    ("redis-py", "floor: `return 1` through redis-py"),
)
CROWD = (
    *(OURS, roster.AIOREDLOCK, roster.PYTHON_REDIS_LOCK, roster.REDIS_PY),
    *(roster.REDIS_PY_WIDE, roster.POTTERY_WIDE, roster.COREDIS),
)
COSTS = ("requests", "commands", "round trips", "client µs", "server µs")


def uncontended(figures: Figures) -> str:
    heads = ("", "pairs/s (range; windows)", "acquire p50 µs", "release p50 µs")
    rows = [
        (
            figures.titled("uncontended", entry.key, entry.title),
            figures.rate("uncontended", entry.key),
            _us(figures, "uncontended", entry.key, "acquire_us.p50"),
            _us(figures, "uncontended", entry.key, "release_us.p50"),
            *_pair(figures, "uncontended", entry),
        )
        for entry in (OURS, roster.OURS_PLAIN, *PLAIN)
    ]
    rows += [
        (
            figures.titled("bare", peer, title),
            figures.rate("bare", peer),
            *("", ""),
            *_floor(figures, "bare", peer),
        )
        for peer, title in FLOORS
    ]
    return table((*heads, "pair p50 µs", "pair p99 µs", *COSTS), rows)


def distinct(figures: Figures) -> str:
    heads = ("", "pairs/s (range; windows)", "pair p50 µs", "pair p99 µs", *COSTS)
    rows = [
        (
            figures.titled("distinct", entry.key, entry.title),
            figures.rate("distinct", entry.key),
            *_pair(figures, "distinct", entry),
        )
        for entry in (OURS, *PLAIN)
    ]
    rows += [
        (
            figures.titled("bare-32", peer, title),
            figures.rate("bare-32", peer),
            *_floor(figures, "bare-32", peer),
        )
        for peer, title in FLOORS
    ]
    return table(heads, rows)


def _us(figures: Figures, scenario: str, peer: str, path: str) -> str:
    return figures.mid(scenario, peer, f"result.{path}", ",.0f")


def _pair(figures: Figures, scenario: str, entry: Entry) -> tuple[str, ...]:
    counted = OURS if entry is roster.OURS_PLAIN else entry
    return (
        _us(figures, scenario, entry.key, "pair_us.p50"),
        _us(figures, scenario, entry.key, "pair_us.p99"),
        figures.mid("counted", counted.key, "result.requests_a_pair", ".2f"),
        *_costs(figures, scenario, entry.key),
    )


def _floor(figures: Figures, scenario: str, peer: str) -> tuple[str, ...]:
    return (
        _us(figures, scenario, peer, "bare_us.p50"),
        _us(figures, scenario, peer, "bare_us.p99"),
        "1.00",
        *_costs(figures, scenario, peer),
    )


def _costs(figures: Figures, scenario: str, peer: str) -> tuple[str, ...]:
    return (
        figures.per_op(scenario, peer, "commands", ".1f"),
        figures.per_op(scenario, peer, "reads", ".2f"),
        _us(figures, scenario, peer, "client_cpu_us"),
        figures.per_op(scenario, peer, "cpu_s", ",.0f", 1e6),
    )


def contended(figures: Figures) -> str:
    heads = (
        *("", "processes", "grants/s", "handoff p50 / p99 ms", "wait p99 / max ms"),
        *("same process", "overtaken", "fewest / most grants", "requests a grant"),
        "commands a grant",
    )
    rows = [
        _contended(figures, entry, number)
        for entry in CONTENDERS
        for number in (2, 10)
        if figures.has(f"contention-{number}", entry.key)
    ]
    heard = "; ".join(
        f"{title} p50 {_us(figures, 'message', peer, 'heard_us.p50')} µs, "
        f"p99 {_us(figures, 'message', peer, 'heard_us.p99')} µs"
        for peer, title in (("ours", "Quorate's connections"), ("redis-py", "redis-py"))
    )
    returns = "; ".join(
        f"{e.title} {figures.of('line-up', e.key)('requests_a_return', '.2f')}"
        for e in FAIR
    )
    return (
        f"{table(heads, rows)}\n\n"
        f"Floor, publish → subscriber in another process: {heard}.\n\n"
        f"Requests a return while nine processes stand in line: {returns}."
    )


def _contended(figures: Figures, entry: Entry, number: int) -> tuple[str, ...]:
    scenario = f"contention-{number}"
    mid = figures.of(scenario, entry.key)
    counted = figures.of("counted-10", entry.key)("requests_a_grant", ".2f")
    return (
        figures.titled(scenario, entry.key, entry.title),
        str(number),
        mid("grants_per_s", ",.0f"),
        f"{mid('handoff_ms.p50', '.2f')} / {mid('handoff_ms.p99', '.2f')}",
        f"{mid('wait_ms.p99', ',.1f')} / {mid('wait_ms.max', ',.0f')}",
        f"{mid('same_process_pct', '.1f')} %",
        f"{mid('overtaken_pct', '.1f')} %",
        f"{mid('fewest_grants_of_a_process', '.0f')} / "
        f"{mid('most_grants_of_a_process', '.0f')}",
        counted if number == 10 else "",
        mid("commands_a_grant", ".1f"),
    )


def crowd(figures: Figures) -> str:
    rows = []
    for entry in CROWD:
        kept = figures.results.kept("crowd", entry.key)
        if not kept:
            continue
        mid = figures.of("crowd", entry.key)
        errors: Counter[str] = Counter(kept[0]["result"]["errors"])
        note = ", ".join(f"{n} × {name}" for name, n in errors.items())
        if kept[0]["result"]["left"]:
            note = "stopped; the rest still waited"
        rows.append(
            (
                figures.titled("crowd", entry.key, entry.title),
                f"{mid('seconds', '.2f')} ({len(kept)})",
                mid("granted", ",.0f"),
                figures.mid("crowd", entry.key, "counts.commands", ",.0f"),
                figures.mid("crowd", entry.key, "counts.reads", ",.0f"),
                note,
            )
        )
    heads = ("", "seconds (runs)", "granted", "commands", "round trips", "")
    return table(heads, rows)


def idle(figures: Figures) -> str:
    rows = []
    for entry in (OURS, *PLAIN):
        if figures.has("idle", entry.key):
            mid = figures.of("idle", entry.key)
            rows.append(
                (
                    figures.titled("idle", entry.key, entry.title),
                    mid("requests_per_s", ",.1f"),
                    mid("beyond_renewal_per_s", ",.1f"),
                    f"{mid('server_cpu_pct', '.2f')} %",
                )
            )
    return table(("", "requests/s", "beyond renewal", "server CPU"), rows)


def alone(figures: Figures) -> str:
    """What no peer has: many locks kept at once, and re-entry."""
    many, one = figures.of("holding", "ours"), figures.of("holding-one", "ours")
    again = figures.of("reenter", "ours")
    heads = ("", "requests", "client CPU", "server CPU")
    rows = [
        (
            f"{mid('locks', ',.0f')} held for {mid('seconds', '.0f')} s",
            f"{mid('renewals', '.0f')} renewals, {mid('other_requests', '.0f')} others",
            f"{mid('client_cpu_pct', '.2f')} % of a core",
            f"{mid('server_cpu_pct', '.2f')} %",
        )
        for mid in (many, one)
    ]
    return (
        f"{table(heads, rows)}\n\n"
        "Re-entry and its end, in the owner: "
        f"p50 {again('pair_us.p50', '.1f')} µs, p99 {again('pair_us.p99', '.1f')} µs, "
        f"{again('requests_in_all', '.0f')} requests."
    )
