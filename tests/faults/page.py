"""The page on what came of the fault runs, written by the runs themselves."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import Caught, Suite
from tests.faults.stage import Result

ROOT = Path(__file__).resolve().parents[2]
MOST_WORDS = 160


def write_page(
    suite: Suite,
    path: Path,
    command: str,
    results: Sequence[Result],
    caught: Sequence[Caught],
    left_out: Sequence[str],
) -> None:
    """Write the report, replacing the one before."""
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    what = suite.counted
    parts = [
        suite.head.format(
            command=command, date=date, commit=_commit(), machine=machine
        ),
        "\n## The runs\n",
        _table(
            ("run", "harm", "verdict", "operations judged", "faults", what, "took"),
            [
                (
                    result.run,
                    result.title,
                    f"**{result.ruling}**",
                    f"{result.judged:,}",
                    str(result.numbers.get("faults", "–")),
                    f"{result.numbers.get(what, '–')}",
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
        suite.words,
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
