"""Quorate's locks beside their peers, on this machine, in one sitting.

    make bench-locks                 all of it, about ten minutes; writes the report
    make bench-locks ARGS=--quick    a look, about a minute; writes no report
    make bench-locks ARGS="--tries 30 --minutes 30"    on a machine that is never quiet

Ours and the peers take turns on one private server. Windows that others disturbed
are thrown away. Raw results, tables and a plot go to docs/benchmarks/.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.environments import HOME, ROOT, NotInstalled, environment
from tests.bench.locks.goals import Judge
from tests.bench.locks.lab import CLIENT_PROCESSOR, SERVER_PROCESSOR, Lab
from tests.bench.locks.page import Page, told
from tests.bench.locks.plan import Campaign
from tests.bench.locks.results import Results
from tests.bench.locks.scenarios import FULL, QUICK, Run
from tests.bench.measuring import machine, pin
from tests.servers import Kind, Server, ServerSettings

HERE = Path(__file__).parent
REPORTS = ROOT / "docs" / "benchmarks"
REQUIREMENTS = {
    "peers": HERE / "requirements-locks.txt",
    "peers-old": HERE / "requirements-locks-old.txt",
}


def say(line: str) -> None:
    print(line, flush=True)


def pythons() -> tuple[dict[str, Path], dict[str, str]]:
    """The environments that there are, and why the others are not."""
    found, missing = {"own": Path(sys.executable)}, {}
    for name, requirements in REQUIREMENTS.items():
        try:
            found[name] = environment(name, requirements)
        except NotInstalled as error:
            missing[name] = str(error)
            say(f"left out: {error}")
    return found, missing


def versions(homes: dict[str, Path]) -> dict[str, str]:
    """What is installed in the environments."""
    known: dict[str, str] = {}
    for python in homes.values():
        listed = subprocess.run(
            [str(python), "-m", "pip", "list", "--format=json"],
            check=True,
            capture_output=True,
            text=True,
        )
        for row in json.loads(listed.stdout):
            known.setdefault(row["name"].lower(), row["version"])
    return known


def measure(
    server: Server, homes: dict[str, Path], how: argparse.Namespace
) -> list[Run]:
    lab = Lab(server, homes, HOME / "children.log")
    size = QUICK if how.quick else replace(FULL, tries=how.tries)
    campaign = Campaign(lab, size, how.minutes * 60, is_quick=how.quick)
    began = time.monotonic()
    runs = []
    for run in campaign.runs():
        run["at"] = round(time.monotonic() - began, 1)
        runs.append(run)
        say(f"{run['at']:6.1f} s  {told(run)}")
    return runs


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look, writes nothing")
    parser.add_argument(
        "--server", choices=["valkey", "redis"], default="valkey",
        help="valkey comes with the packages; redis has to be installed",
    )  # fmt: skip
    parser.add_argument(
        "--tries", type=int, default=FULL.tries, metavar="N",
        help="windows of a turn at most, until enough were quiet (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=11.0, metavar="N",
        help="after so long it tries no more for quiet (%(default)g)",
    )  # fmt: skip
    return parser.parse_args()


def sit(how: argparse.Namespace) -> dict[str, Any]:
    """One sitting: all that was measured, and where."""
    kind: Kind = how.server
    homes, missing = pythons()
    with tempfile.TemporaryDirectory(prefix="quorate-bench-") as directory:
        server = Server(Path(directory), ServerSettings(kind=kind))
        server.start()
        try:
            pin(server.pid, SERVER_PROCESSOR)
            info = server.info("server")
            version = info.get("valkey_version") or info["redis_version"]
            sitting: dict[str, Any] = {
                "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "machine": machine(),
                "server": f"{kind}-server {version}",
                "pinned": {"server": SERVER_PROCESSOR, "clients": CLIENT_PROCESSOR},
                "left_out": missing,
                "versions": versions(homes),
            }
            sitting["runs"] = measure(server, homes, how)
        finally:
            server.stop()
    return sitting


def main() -> int:
    given = arguments()
    HOME.mkdir(exist_ok=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sitting = sit(given)
    results = Results(sitting["runs"])
    verdicts = Judge(results).verdicts()
    sitting["verdicts"] = [verdict.facts() for verdict in verdicts]
    page = Page(sitting, results, verdicts)
    say("\n" + page.text())
    raw = REPORTS / "raw" / f"locks-{sitting['when'][:10]}.json"
    if given.quick:
        raw = HOME / "locks-quick.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text(json.dumps(sitting) + "\n")
    if not given.quick:
        page.write(REPORTS / "locks.md", raw)
    say(f"\nraw results: {raw.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
