"""Draws bars: python -m tests.bench.plotting OUT.svg < panels.json

Runs in the environment that has matplotlib. The same figures give the same file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]

mpl.use("svg")
import matplotlib.pyplot as plt  # type: ignore[import-not-found]

OURS, THEIRS, INK = "#1f6f8b", "#b9c3c9", "#222222"
COLUMNS = 2


def shown(value: float, *, is_cut: bool) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"over {text}" if is_cut else text


def draw(panels: list[dict[str, Any]], path: str) -> None:
    mpl.rcParams.update(
        {
            "svg.hashsalt": "quorate",
            "font.size": 9,
            "axes.titlesize": 10,
            "text.color": INK,
            "axes.labelcolor": INK,
            "ytick.color": INK,
        }
    )
    rows = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(10, 2.1 * rows))
    for axis, panel in zip(axes.flat, panels, strict=False):
        bars = panel["bars"]
        values = [bar["value"] for bar in bars]
        colours = [OURS if bar["is_ours"] else THEIRS for bar in bars]
        places = range(len(bars))
        axis.barh(places, values, color=colours, height=0.72)
        axis.set_yticks(places, [bar["name"] for bar in bars])
        axis.invert_yaxis()
        axis.set_title(
            panel["title"] + (" (logarithmic)" if panel["is_log"] else ""), loc="left"
        )
        if panel["is_log"]:
            axis.set_xscale("log")
            axis.set_xlim(min(values) / 3, max(values) * 6)
        else:
            axis.set_xlim(0, max(values) * 1.22)
        for place, bar in zip(places, bars, strict=True):
            text = " " + shown(bar["value"], is_cut=bar["is_cut"])
            axis.text(bar["value"], place, text, va="center", fontsize=8)
        axis.xaxis.set_visible(False)
        for side in ("top", "right", "bottom"):
            axis.spines[side].set_visible(False)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
