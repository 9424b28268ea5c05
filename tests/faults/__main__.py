"""Runs the fault runs of locks and writes the page on what came of them.

    python -m tests.faults [--scale 1.0] [--seed N] [--only "L2" --only "L5 none"]

Scale 1.0 is the full size. Everything is drawn from the seed; seed, plan and history of
each run stay in the directory that is printed. Without `--only` the planted bugs are
tried too, and the page docs/reliability/locks.md is written anew. The exit code is 1
unless every run is valid and every bug is caught.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import Caught, campaign, planted
from tests.faults.lock_page import write_page
from tests.faults.lock_runs import RUNS
from tests.faults.stage import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability" / "locks.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Harm locks, and judge what they did.")
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is full size")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", action="append", metavar="RUN", choices=list(RUNS))
    parser.add_argument("--at-once", type=int, default=4, help="runs beside each other")
    parser.add_argument("--directory", type=Path, help="where the histories go")
    return parser.parse_args()


def show(result: Result) -> None:
    print(
        f"{result.run:<14}{result.ruling:<9}{result.judged:>8} judged "
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


async def main() -> int:
    given = arguments()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="quorate-faults-"))
    began = time.monotonic()
    print(f"seed {given.seed}, scale {given.scale:g}, histories in {directory}")
    results, left_out = await campaign(
        directory, given.seed, given.scale, given.only or list(RUNS),
        at_once=given.at_once, told=show,
    )  # fmt: skip
    for reason in left_out:
        print(reason)
    caught: list[Caught] = []
    if not given.only:
        caught = await planted(
            directory, given.seed, at_once=given.at_once, told=show_bug
        )
        command = f"make faults ARGS='--scale {given.scale:g} --seed {given.seed}'"
        write_page(PAGE, command, results, caught, left_out)
    bad = [result.run for result in results if result.ruling != "valid"]
    missed = [bug.title for bug in caught if not bug.is_caught]
    valid, found = len(results) - len(bad), len(caught) - len(missed)
    print(f"{valid} of {len(results)} runs valid; "
          f"{found} of {len(caught)} planted bugs caught; "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return int(bool(bad or missed))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
