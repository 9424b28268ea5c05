"""The bars of the plot, from the results; `tests/bench/plotting.py` draws them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.environments import HOME, ROOT
from tests.bench.locks import roster
from tests.bench.locks.results import Results
from tests.bench.locks.roster import OURS, PLAIN, PYTHON_REDIS_LOCK, Entry
from tests.bench.spread import median

SHORT = {
    "ours": "Quorate",
    "redis-py": "redis.asyncio",
    "redis-py-wide": "redis.asyncio",
    "pottery-wide": "pottery",
}
CROWD = (
    *(OURS, roster.AIOREDLOCK, PYTHON_REDIS_LOCK),
    *(roster.REDIS_PY_WIDE, roster.POTTERY_WIDE, roster.COREDIS),
)
PANELS: tuple[tuple[str, str, str, tuple[Entry, ...], bool], ...] = (
    (
        "one lock after the other, pairs/s",
        "uncontended",
        "result.per_s",
        (OURS, *PLAIN),
        False,
    ),
    (
        "32 tasks on distinct locks, pairs/s",
        "distinct",
        "result.per_s",
        (OURS, *PLAIN),
        False,
    ),
    (
        "10 processes: longest 1 % of waits, ms",
        "contention-10",
        "result.wait_ms.p99",
        (OURS, PYTHON_REDIS_LOCK, *PLAIN),
        True,
    ),
    (
        "10 processes: handoff p50, ms (fair ones)",
        "contention-10",
        "result.handoff_ms.p50",
        (OURS, PYTHON_REDIS_LOCK),
        False,
    ),
    (
        "1,000 tasks on one lock, s",
        "crowd",
        "result.seconds",
        CROWD,
        True,
    ),
    (
        "100 idle waiters, requests/s",
        "idle",
        "result.requests_per_s",
        (OURS, *PLAIN),
        True,
    ),
)


def draw(results: Results, picture: Path) -> None:
    """Draw the plot in the environment that has matplotlib, if there is one."""
    python = HOME / "peers" / "bin" / "python"
    if not python.exists():
        return
    subprocess.run(
        [str(python), "-m", "tests.bench.plotting", str(picture)],
        input=json.dumps(_panels(results)).encode(),
        cwd=ROOT,
        check=True,
    )


def _panels(results: Results) -> list[dict[str, Any]]:
    panels = []
    for title, scenario, path, entries, is_log in PANELS:
        bars = []
        for entry in dict.fromkeys(entry.key for entry in entries):
            values = results.values(scenario, entry, path)
            if not values:
                continue
            left = results.values(scenario, entry, "result.left")
            bars.append(
                {
                    "name": SHORT.get(entry, entry),
                    "value": median(values),
                    "is_ours": entry == OURS.key,
                    "is_cut": bool(left and max(left)),
                }
            )
        panels.append({"title": title, "bars": bars, "is_log": is_log})
    return panels
