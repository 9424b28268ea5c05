"""The report: for the screen while it runs, and for docs/benchmarks at the end.

The page is written by hand; what stands between the comments `begin: x` and `end: x` is
put there from the results.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.environments import ROOT
from tests.bench.figures import table
from tests.bench.judging import Verdict
from tests.bench.results import Run
from tests.bench.spread import median

NOISES = ("steal", "waited", "foreign")
MARKS = {True: "**met**", False: "**not met**", None: "–"}


def told(run: Run, keys: Iterable[str]) -> str:
    """A run in one line."""
    line = f"{run['scenario']:<14} {run['peer']:<18}"
    if "failed" in run:
        return f"{line} failed: {run['failed']}"
    parts = [
        f"{key}={_short(run['result'][key])}" for key in keys if key in run["result"]
    ]
    noise = run["noise"]
    told_noise = [f"{what} {noise[f'{what}_pct']}" for what in NOISES]
    parts.append(f"[{', '.join(told_noise)}]")
    if run["why_not"]:
        parts.append(f"DISCARDED: {run['why_not']}")
    return f"{line} {' '.join(parts)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['p50']:.4g}/{value['p99']:.4g}"
    return f"{value:.4g}"


def write(page: Path, blocks: Mapping[str, str]) -> None:
    """Put the results into the page."""
    text = page.read_text()
    for name, block in blocks.items():
        between = rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)"
        parts = re.split(between, text, maxsplit=1, flags=re.DOTALL)
        if len(parts) != 4:
            raise ValueError(f"{page.relative_to(ROOT)} has no place for {name!r}")
        before, begin, end, after = parts
        text = f"{before}{begin}{block}\n{end}{after}"
    page.write_text(text)


def where(sitting: Mapping[str, Any], distributions: Iterable[str]) -> str:
    """When, on what, and beside which versions."""
    machine, known = sitting["machine"], sitting["versions"]
    names = {*distributions, "hiredis", "uvloop"}
    listed = ", ".join(f"{n} {known[n]}" for n in sorted(names) if n in known)
    left_out = "".join(f" Left out: {why}." for why in sitting["left_out"].values())
    return (
        f"Measured {sitting['when']} on {machine['processors']} × "
        f"{machine['processor']}, {machine['system']}, Python {machine['python']}; "
        f"{sitting['server']} on processor 0, all clients on processor 1. "
        f"Beside quorate {known.get('quorate', '')}: {listed}.{left_out}"
    )


def goals(verdicts: Sequence[Verdict]) -> str:
    """What was promised, and whether it is so."""
    rows = [
        (v.what, v.wanted, v.measured, MARKS[v.met] + (" (noisy)" * v.noisy))
        for v in verdicts
    ]
    return table(("goal", "wanted", "measured", ""), rows)


def noise(runs: Sequence[Run]) -> str:
    """How many windows counted, and why the others did not."""
    done = [run for run in runs if "result" in run]
    bad = [run for run in done if run["why_not"]]
    quiet = [run["noise"] for run in done if not run["why_not"]]
    steal = median([n["steal_pct"] for n in quiet]) if quiet else 0.0
    foreign = median([n["foreign_pct"] for n in quiet]) if quiet else 0.0
    text = (
        f"{len(runs)} windows: {len(quiet)} counted, {len(bad)} thrown away, "
        f"{len(runs) - len(done)} failed. In those that counted, steal was "
        f"{steal:.1f} % and foreign load {foreign:.1f} % of a core (medians)."
    )
    reasons = Counter(str(run["why_not"]).rpartition(" %")[0] for run in bad)
    causes = Counter(reason.rpartition(" ")[0] for reason in reasons.elements())
    if causes:
        listed = ", ".join(f"{number} for {why}" for why, number in causes.items())
        text += f" Thrown away: {listed}."
    return text
