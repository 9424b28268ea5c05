"""One sitting: a private server, the environments of the peers, all windows, a report.

What is measured is a `Subject`; how a sitting goes is the same for all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from tests.bench import page
from tests.bench.campaign import Campaign, S, Step
from tests.bench.environments import HOME, ROOT, NotInstalled, environment
from tests.bench.figures import Figures
from tests.bench.judging import Goal, Judge
from tests.bench.lab import CLIENT_PROCESSOR, SERVER_PROCESSOR, Lab
from tests.bench.measuring import machine, pin
from tests.bench.panels import Panel, draw
from tests.bench.results import Results, Run
from tests.servers import Kind, Server, ServerSettings

HERE = Path(__file__).parent
REPORTS = ROOT / "docs" / "benchmarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Generic[S]):
    """What is measured. `requirements` by the name of their environment.

    `program` is the module that children run, `drawer` the environment with matplotlib;
    `told` names the figures that are shown of each window.
    """

    name: str
    requirements: Mapping[str, str]
    program: str
    plan: Sequence[Step[S]]
    full: S
    quick: S
    minutes: float
    goals: Sequence[Goal]
    blocks: Callable[[Figures], dict[str, str]]
    told: Sequence[str]
    distributions: Sequence[str]
    panels: Sequence[Panel]
    short: Mapping[str, str]
    drawer: str


def say(line: str) -> None:
    print(line, flush=True)


def hold(subject: Subject[S], doc: str) -> int:
    """Measure, judge and report. The exit code is 0 whatever came of it."""
    how = _arguments(subject, doc)
    HOME.mkdir(exist_ok=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sitting = _sit(subject, how)
    results = Results(sitting["runs"])
    verdicts = Judge(results).verdicts(subject.goals)
    sitting["verdicts"] = [verdict.facts() for verdict in verdicts]
    blocks = {
        "where": page.where(sitting, subject.distributions),
        "goals": page.goals(verdicts),
        **subject.blocks(Figures(results)),
        "noise": page.noise(sitting["runs"]),
    }
    say("\n" + "\n\n".join(blocks.values()))
    raw = REPORTS / "raw" / f"{subject.name}-{sitting['when'][:10]}.json"
    if how.quick or how.only:
        raw = HOME / f"{subject.name}-quick.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text(json.dumps(sitting) + "\n")
    if not (how.quick or how.only):
        report = REPORTS / f"{subject.name}.md"
        link = raw.relative_to(report.parent)
        page.write(report, {**blocks, "raw": f"Raw results: [{link.name}]({link})."})
        python = HOME / subject.drawer / "bin" / "python"
        picture = report.with_suffix(".svg")
        draw(subject.panels, subject.short, results, picture, python)
    say(f"\nraw results: {raw.relative_to(ROOT)}")
    return 0


def _arguments(subject: Subject[S], doc: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look, writes nothing")
    parser.add_argument(
        "--only", action="append", metavar="SCENARIO", default=[],
        choices=sorted({step.scenario for step in subject.plan}),
        help="just these, writes no report",
    )  # fmt: skip
    parser.add_argument(
        "--server", choices=["valkey", "redis"], default="valkey",
        help="valkey comes with the packages; redis has to be installed",
    )  # fmt: skip
    parser.add_argument(
        "--tries", type=int, default=subject.full.tries, metavar="N",
        help="windows of a turn at most, until enough were quiet (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=subject.minutes, metavar="N",
        help="after so long it tries no more for quiet (%(default)g)",
    )  # fmt: skip
    return parser.parse_args()


def _sit(subject: Subject[S], how: argparse.Namespace) -> dict[str, Any]:
    """All that was measured, and where."""
    kind: Kind = how.server
    homes, missing = _pythons(subject)
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
                "versions": _versions(homes),
            }
            lab = Lab(server, homes, HOME / "children.log", subject.program)
            sitting["runs"] = _measure(subject, lab, how)
        finally:
            server.stop()
    return sitting


def _measure(subject: Subject[S], lab: Lab, how: argparse.Namespace) -> list[Run]:
    full: Any = subject.full
    size = subject.quick if how.quick else replace(full, tries=how.tries)
    plan = [s for s in subject.plan if not how.only or s.scenario in how.only]
    campaign = Campaign(lab, plan, size, how.minutes * 60, is_quick=how.quick)
    began = time.monotonic()
    runs = []
    for run in campaign.runs():
        run["at"] = round(time.monotonic() - began, 1)
        runs.append(run)
        say(f"{run['at']:6.1f} s  {page.told(run, subject.told)}")
    return runs


def _pythons(subject: Subject[S]) -> tuple[dict[str, Path], dict[str, str]]:
    """The environments that there are, and why the others are not."""
    found, missing = {"own": Path(sys.executable)}, {}
    for name, requirements in subject.requirements.items():
        try:
            found[name] = environment(name, HERE / requirements)
        except NotInstalled as error:
            missing[name] = str(error)
            say(f"left out: {error}")
    return found, missing


def _versions(homes: dict[str, Path]) -> dict[str, str]:
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
