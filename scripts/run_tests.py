"""Runs the rings of tests, from the quickest to the slowest, one line each.

A ring is one command. Its output is shown when it fails, or with -v. All rings run even
if one fails; the exit code is 1 then. The last line is always the tally, as plain text:
tests of the pytest rings, and one for each other ring.

    python scripts/run_tests.py [-v] [ring ...]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable

EMPTY_RING_FAILS = True
"""Whether a ring whose folder has no tests yet is a failure."""

TEST_TIMEOUT_S = 60
RING_TIMEOUT_S = 600
COVERAGE_AT_LEAST = 90


@dataclass(frozen=True, slots=True)
class Ring:
    """One command. `folder` makes it a pytest ring; `loud` shows its output always."""

    name: str
    command: tuple[str, ...] = ()
    folder: str = ""
    loud: bool = False


@dataclass(slots=True)
class Verdict:
    """What became of a ring."""

    passed: int = 0
    failed: int = 0
    note: str = ""
    output: str = ""
    skipped: Counter[str] = field(default_factory=Counter)


def tool(*words: str) -> tuple[str, ...]:
    """A tool of this environment, whatever the PATH is."""
    return (PYTHON, "-m", *words)


def with_python(*folders: str) -> tuple[str, ...]:
    """Those of the folders that have anything to check."""
    return tuple(folder for folder in folders if any((ROOT / folder).rglob("*.py")))


RINGS = (
    Ring("servers", (PYTHON, "scripts/servers.py"), loud=True),
    Ring("lint", tool("ruff", "check", "--quiet", ".")),
    Ring("format", tool("ruff", "format", "--check", ".")),
    Ring("types", tool("mypy", *with_python("pkg/quorate", "tests/typing", "scripts"))),
    Ring("architecture", folder="tests/architecture"),
    Ring(
        "unit",
        (
            "--cov",
            "--cov-report=term-missing:skip-covered",
            f"--cov-fail-under={COVERAGE_AT_LEAST}",
        ),
        folder="tests/unit",
    ),
    Ring("contract", folder="tests/contract"),
    Ring(
        "fleets",
        ("-m", "fleet", "tests/integration/fleets"),
        folder="tests/contract",
    ),
    Ring("integration", folder="tests/integration"),
    Ring("examples", folder="tests/examples"),
)


def run(command: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and everything said. If it is stopped, so is what it started."""
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=RING_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        end(child)
        output, _ = child.communicate()
        output += (
            f"\nThe ring, or something that it started and that holds its output, "
            f"did not end within {RING_TIMEOUT_S} s and was killed.\n"
        )
        return 1, output
    except BaseException:
        end(child)
        raise
    return child.returncode, output


def end(child: subprocess.Popen[str]) -> None:
    """Kill the ring and its children, which are all in its process group."""
    os.killpg(child.pid, signal.SIGKILL)


def run_command(ring: Ring) -> Verdict:
    code, output = run(ring.command)
    return Verdict(passed=int(code == 0), failed=int(code != 0), output=output)


def run_pytest(ring: Ring) -> Verdict:
    if not any((ROOT / ring.folder).rglob("test_*.py")):
        note = f"no tests yet in {ring.folder}/"
        return Verdict(failed=int(EMPTY_RING_FAILS), note=note)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = tool(
            "pytest", ring.folder, "-q", f"--timeout={TEST_TIMEOUT_S}",
            f"--junitxml={report}", "-o", "junit_family=xunit1", *ring.command,
        )  # fmt: skip
        code, output = run(command)
        verdict = count(report)
    verdict.output = output
    if code and not verdict.failed:
        verdict.failed = 1  # coverage too low, or pytest itself could not go on
    verdict.note = f"{verdict.passed} passed"
    if verdict.failed:
        verdict.note += f", {verdict.failed} failed"
    if verdict.skipped:
        verdict.note += f", {verdict.skipped.total()} skipped"
    return verdict


def count(report: Path) -> Verdict:
    """Tests, not phases: one that passes and then fails to tidy up has failed."""
    verdict = Verdict()
    if not report.exists():
        return verdict
    outcomes: dict[tuple[str | None, ...], set[str]] = {}
    # The file was written by pytest a moment ago, in a folder of our own.
    for case in ET.parse(report).getroot().iter("testcase"):
        name = tuple(case.get(part) for part in ("file", "classname", "name"))
        outcome = outcomes.setdefault(name, set())
        for child in case:
            outcome.add(child.tag)
            if child.tag == "skipped":
                verdict.skipped[child.get("message") or "no reason given"] += 1
    for outcome in outcomes.values():
        if outcome & {"failure", "error"}:
            verdict.failed += 1
        elif "skipped" not in outcome:
            verdict.passed += 1
    return verdict


def coverage_of(output: str) -> str:
    for line in output.splitlines():
        if line.startswith("TOTAL "):
            return f" · coverage {line.split()[-1]}, wanted {COVERAGE_AT_LEAST}%"
    return ""


def tell(ring: Ring, verdict: Verdict, took_s: float, *, verbose: bool) -> None:
    if verdict.failed:
        mark = paint("✗", "31")
    elif verdict.passed:
        mark = paint("✓", "32")
    else:
        mark = paint("–", "33")
    note = verdict.note + coverage_of(verdict.output)
    print(f"{mark} {ring.name:<13}{took_s:6.1f} s  {note}".rstrip())
    for reason, times in sorted(verdict.skipped.items()):
        print(f"    skipped: {reason}" + (f" (×{times})" if times > 1 else ""))
    if verdict.output.strip() and (verdict.failed or verbose or ring.loud):
        for line in verdict.output.rstrip().splitlines():
            print(f"    {line}".rstrip())
    sys.stdout.flush()


def paint(text: str, colour: str) -> str:
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"\033[{colour}m{text}\033[0m"
    return text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the rings of tests.")
    names = [ring.name for ring in RINGS]
    parser.add_argument("-v", "--verbose", action="store_true", help="show all output")
    parser.add_argument(
        "rings", nargs="*", metavar="ring", help=f"only these: {', '.join(names)}"
    )
    given = parser.parse_args()
    if unknown := [name for name in given.rings if name not in names]:
        parser.error(f"{unknown[0]} is not a ring. The rings are: {', '.join(names)}")
    return given


def main() -> int:
    given = arguments()
    passed = failed = 0
    for ring in RINGS:
        if given.rings and ring.name not in given.rings:
            continue
        began = time.monotonic()
        verdict = run_pytest(ring) if ring.folder else run_command(ring)
        tell(ring, verdict, time.monotonic() - began, verbose=given.verbose)
        passed += verdict.passed
        failed += verdict.failed
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
