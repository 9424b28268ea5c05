"""Runs the rings of tests, in two lanes side by side, one line each as it ends.

A ring is one command. The quick ones begin, then those that take longest, so that the
lanes end together. A ring's output is shown in one piece when it fails, or with -v. All
rings run even if one fails; the exit code is 1 then. The last line is always the tally,
as plain text: tests of the pytest rings, and one for each other ring.

    python scripts/run_tests.py [-v] [--lanes N] [ring ...]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable

EMPTY_RING_FAILS = True
"""Whether a ring whose folder has no tests yet is a failure."""

TEST_TIMEOUT_S = 60
RING_TIMEOUT_S = 1200
COVERAGE_AT_LEAST = 90
LANES = 2


@dataclass(frozen=True, slots=True)
class Ring:
    """One command. `folder` makes it a pytest ring; `loud` shows its output always.

    One that is to be `first` runs before all others, and alone: they need what it does.
    """

    name: str
    command: tuple[str, ...] = ()
    folder: str = ""
    loud: bool = False
    first: bool = False


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
    Ring("servers", (PYTHON, "scripts/servers.py"), loud=True, first=True),
    Ring("lint", tool("ruff", "check", "--quiet", ".")),
    Ring("format", tool("ruff", "format", "--check", ".")),
    Ring("types", tool("mypy", *with_python("pkg/quorate", "tests/typing", "scripts"))),
    Ring("architecture", folder="tests/architecture"),
    Ring("integration", folder="tests/integration"),
    Ring(
        "fleets",
        ("-m", "fleet", "tests/integration/fleets"),
        folder="tests/contract",
    ),
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
    Ring("examples", folder="tests/examples"),
)


async def run(command: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and everything said. If it is stopped, so is what it started."""
    child = await begin(command)
    said = bytearray()
    try:
        async with asyncio.timeout(RING_TIMEOUT_S):
            code = await listen(child, said)
    except TimeoutError:
        end(child)
        await listen(child, said)
        code = 1
        said += (
            f"\nThe ring, or something that it started and that holds its output, "
            f"did not end within {RING_TIMEOUT_S} s and was killed.\n"
        ).encode()
    except BaseException:
        end(child)
        await child.wait()
        raise
    return code, said.decode(errors="replace")


async def begin(command: tuple[str, ...]) -> asyncio.subprocess.Process:
    """Start it. Who is stopped meanwhile has started it all the same, and ends it."""
    beginning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        child = await beginning
        end(child)
        await child.wait()
        raise


async def listen(child: asyncio.subprocess.Process, said: bytearray) -> int:
    """Hear what it says until it has ended; its exit code."""
    assert child.stdout is not None
    while block := await child.stdout.read(65536):
        said += block
    return await child.wait()


def end(child: asyncio.subprocess.Process) -> None:
    """Kill the ring and its children, which are all in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


async def run_command(ring: Ring) -> Verdict:
    code, output = await run(ring.command)
    return Verdict(passed=int(code == 0), failed=int(code != 0), output=output)


async def run_pytest(ring: Ring) -> Verdict:
    if not any((ROOT / ring.folder).rglob("test_*.py")):
        note = f"no tests yet in {ring.folder}/"
        return Verdict(failed=int(EMPTY_RING_FAILS), note=note)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = tool(
            "pytest", ring.folder, "-q", f"--timeout={TEST_TIMEOUT_S}",
            f"--junitxml={report}", "-o", "junit_family=xunit1", *ring.command,
        )  # fmt: skip
        code, output = await run(command)
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
        "--lanes", type=int, default=LANES, metavar="N",
        help=f"how many rings run at a time; {LANES} unless given",
    )  # fmt: skip
    parser.add_argument(
        "rings", nargs="*", metavar="ring", help=f"only these: {', '.join(names)}"
    )
    given = parser.parse_args()
    if unknown := [name for name in given.rings if name not in names]:
        parser.error(f"{unknown[0]} is not a ring. The rings are: {', '.join(names)}")
    if given.lanes < 1:
        parser.error(f"there cannot be {given.lanes} lanes. One is the least.")
    return given


async def run_all(rings: Sequence[Ring], lanes: int, *, verbose: bool) -> Verdict:
    """Run them, as many at a time as there are lanes, and tell of each as it ends."""
    total = Verdict()

    async def lane(waiting: deque[Ring]) -> None:
        while waiting:
            ring = waiting.popleft()
            began = time.monotonic()
            verdict = await (run_pytest(ring) if ring.folder else run_command(ring))
            tell(ring, verdict, time.monotonic() - began, verbose=verbose)
            total.passed += verdict.passed
            total.failed += verdict.failed

    await lane(deque(ring for ring in rings if ring.first))
    waiting = deque(ring for ring in rings if not ring.first)
    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane(waiting))
    return total


async def stoppable(rings: Sequence[Ring], lanes: int, *, verbose: bool) -> Verdict:
    """Asked to end by SIGTERM as by Ctrl-C, first kill what runs."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    return await run_all(rings, lanes, verbose=verbose)


def main() -> int:
    given = arguments()
    rings = [ring for ring in RINGS if not given.rings or ring.name in given.rings]
    try:
        total = asyncio.run(stoppable(rings, given.lanes, verbose=given.verbose))
    except asyncio.CancelledError:
        return 143
    except KeyboardInterrupt:
        return 130
    print(f"{total.passed} passed, {total.failed} failed")
    return int(total.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
