"""Panels of bars for the plot, from the results; `plotting` draws them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.entries import Entry
from tests.bench.environments import ROOT
from tests.bench.results import Results
from tests.bench.spread import median

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of one scenario for some entries."""

    title: str
    scenario: str
    path: str
    entries: tuple[Entry, ...]
    is_log: bool = False


def draw(
    panels: Sequence[Panel],
    short: Mapping[str, str],
    results: Results,
    picture: Path,
    python: Path,
) -> None:
    """Draw the plot with a Python that has matplotlib, if there is one."""
    if not python.exists():
        return
    told = [
        {
            "title": panel.title,
            "bars": _bars(panel, short, results),
            "is_log": panel.is_log,
        }
        for panel in panels
    ]
    subprocess.run(
        [str(python), "-m", "tests.bench.plotting", str(picture)],
        input=json.dumps([panel for panel in told if panel["bars"]]).encode(),
        cwd=ROOT,
        check=True,
    )


def _bars(
    panel: Panel, short: Mapping[str, str], results: Results
) -> list[dict[str, Any]]:
    bars = []
    for entry in dict.fromkeys(entry.key for entry in panel.entries):
        values = results.values(panel.scenario, entry, panel.path)
        if not values:
            continue
        left = results.values(panel.scenario, entry, "result.left")
        bars.append(
            {
                "name": short.get(entry, entry),
                "value": median(values),
                "is_ours": entry == OURS,
                "is_cut": bool(left and max(left)),
            }
        )
    return bars
