"""The page on what came of the fault runs, written by the runs themselves."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import Caught
from tests.faults.stage import Result

ROOT = Path(__file__).resolve().parents[2]
MOST_WORDS = 160

HEAD = """# Locks under fault: what was harmed, and what they did

*Written by the run itself; do not edit. Made by `{command}`
on {date}, commit `{commit}`, {machine}.*

Real servers, real worker processes, real signals. Each run goes through the same
phases: start, traffic with faults, heal, quiesce, drain, check. Every process writes
down what it asks and what it believes; the checker then looks for an order of all these
operations that a lock with one owner at a time and growing tokens could have had
(`quorate.testing.checker`). A fault may end a hold behind its owner's back: for exactly
the holds that a fault touched an *expire* may be assumed, and for no others. The
protected resource takes a step only from the latest grant it has seen; no add to it may
be lost, whatever its writers believed. *Valid* means that all of this held; *unknown*
would mean that the checker gave up, and counts as a failure.
"""

WORDS = """
## What the words mean

- **overlaps of belief**: how often a process still believed in its hold when the next
  had got the lock. With a lease that cannot be excluded for a process that stands
  still; what it may not do is write, and **fencing rejections** are where it tried.
- **lost locks told**: `LockLostError`s that callers got, instead of losing silently.
- **kill to next grant**: counted from the last death among the holder and those who
  stood in line before the next living owner.
- **persistence**: a server without it forgets who holds what; only a server that has
  written down every grant (`always`) is asked for a mutex, all for growing tokens
  and for a resource that accepts nothing stale.
- **careless holders**: half or a third of the holders of L3 to L6 and L11 are only told
  of a loss (`on_loss="flag"`) and write all the same: they are where the rejections of
  the fence come from.
- **L6, default and safe**: a failover may lose the last grants. By default a lock may
  then be believed in twice; the run counts it, and asks for growing tokens and a
  resource that accepts nothing stale. In the safe mode (`replicas=1`, `strict=True`,
  and `min-replicas-to-write 1` on the servers) it is judged as a mutex, and no fault is
  an excuse. It pays with time: nothing is granted for one ttl after each switch.
- The runs stand beside each other, four at a time (but L1, L8 and L10), on the cores named above.
"""


def write_page(
    path: Path,
    command: str,
    results: Sequence[Result],
    caught: Sequence[Caught],
    left_out: Sequence[str],
) -> None:
    """Write the report, replacing the one before."""
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [
        HEAD.format(command=command, date=date, commit=_commit(), machine=machine),
        "\n## The runs\n",
        _table(
            ("run", "harm", "verdict", "operations judged", "faults", "grants", "took"),
            [
                (
                    result.run,
                    result.title,
                    f"**{result.ruling}**",
                    f"{result.judged:,}",
                    str(result.numbers.get("faults", "–")),
                    f"{result.numbers.get('grants', '–')}",
                    f"{result.took_s:.0f} s",
                )
                for result in results
            ],
        ),
        *(f"\n{reason}\n" for reason in left_out),
        "\n## The bugs that were planted\n\n"
        "Each was put into every worker of a run; a run that does not go red on it "
        "proves nothing.\n",
        _table(
            ("bug", "run", "seed", "caught", "what the judge said"),
            [
                (
                    bug.title,
                    bug.run,
                    str(bug.seed),
                    "yes" if bug.is_caught else "**no**",
                    _shortened(bug.why),
                )
                for bug in caught
            ],
        ),
        "\n## The numbers of each run\n",
        *(_numbers(result) for result in results),
        WORDS,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")


def _numbers(result: Result) -> str:
    lines = [f"\n### {result.run}: {result.title} (seed {result.seed})\n"]
    for what, verdict in result.verdicts.items():
        why = f": {_shortened(verdict.why)}" if verdict.why else ""
        lines.append(f"- {what}: {verdict.ruling} over {verdict.judged:,}{why}")
    lines.append("")
    lines.append(_table(("", ""), [(k, str(v)) for k, v in result.numbers.items()]))
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _shortened(why: str) -> str:
    """The reason on one line of a table."""
    text = re.sub(r"\s+", " ", why).replace("|", "/")
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}…"


def _commit() -> str:
    """The commit that was tried, and whether anything had been changed since."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=ROOT, check=True, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()
