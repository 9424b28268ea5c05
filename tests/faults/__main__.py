"""Runs the fault runs and writes the pages on what came of them.

    python -m tests.faults [locks] [queue] [--scale 1.0] [--seed N] [--only "L2" …]

Scale 1.0 is the full size. Everything is drawn from the seed; seed, plan and history of
each run stay in the directory that is printed. Without `--only` the planted bugs are
tried too, and the pages in docs/reliability are written anew. The exit code is 1 unless
every run is valid and every bug is caught.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import Caught, Size, Suite, campaign, planted
from tests.faults.page import write_page
from tests.faults.stage import Result
from tests.faults.suites import SUITES

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reliability"
RUNS = [name for suite in SUITES.values() for name in suite.runs]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Harm it, and judge what it did.")
    parser.add_argument("subjects", nargs="*", help=", ".join(SUITES))
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is full size")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--at-once", type=int, default=4, help="runs beside each other")
    parser.add_argument("--only", action="append", metavar="RUN", choices=RUNS)
    parser.add_argument("--directory", type=Path, help="where the histories go")
    given = parser.parse_args()
    if unknown := [name for name in given.subjects if name not in SUITES]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return given


def show(result: Result) -> None:
    print(
        f"{result.run:<27} {result.ruling:<8}{result.judged:>8} judged "
        f"{result.took_s:6.1f} s  {result.title}",
        flush=True,
    )
    for name, number in result.numbers.items():
        print(f"{'':14}{name}: {number}", flush=True)
    if result.why:
        print(f"{'':14}{result.why}", flush=True)


def show_bug(bug: Caught) -> None:
    what = f"caught by {bug.run}" if bug.is_caught else f"NOT CAUGHT by {bug.run}"
    print(f"planted: {bug.title}: {what} ({bug.took_s:.1f} s)", flush=True)


async def harm(suite: Suite, directory: Path, given: argparse.Namespace) -> int:
    """All runs of a suite. How many runs and bugs did not come out as they should."""
    names = [name for name in suite.runs if not given.only or name in given.only]
    size = Size(given.seed, given.scale, given.at_once)
    results, left_out = await campaign(suite, directory, size, names, show)
    for reason in left_out:
        print(reason)
    caught: list[Caught] = []
    if not given.only:
        caught = await planted(suite, directory, size, show_bug)
        said = f"--scale {given.scale:g} --seed {given.seed}"
        command = f"make faults ARGS='{suite.name} {said}'"
        page = PAGES / f"{suite.name}.md"
        write_page(suite, page, command, results, caught, left_out)
    bad = [result.run for result in results if result.ruling != "valid"]
    missed = [bug.title for bug in caught if not bug.is_caught]
    valid, found = len(results) - len(bad), len(caught) - len(missed)
    print(f"{suite.name}: {valid} of {len(results)} runs valid; "
          f"{found} of {len(caught)} planted bugs caught")  # fmt: skip
    return len(bad) + len(missed)


async def main() -> int:
    given = arguments()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="quorate-faults-"))
    print(f"seed {given.seed}, scale {given.scale:g}, histories in {directory}")
    bad, began = 0, time.monotonic()
    for name, suite in SUITES.items():
        if not given.subjects or name in given.subjects:
            bad += await harm(suite, directory / name, given)
    print(f"{time.monotonic() - began:.0f} s in all")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
