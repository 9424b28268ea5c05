"""All of Quorate at work: locks, cache, registry, balancer, queue, health, reactions.

    python examples/advanced_integration_example.py [--requests FILE] [--json]

It starts a real server, the patient records, three instances of a consultation service
and two worker processes, and works through the requests you give it (JSON lines; `-`
reads standard input). While it does, it kills one instance, lets the patient records
stand still so that the system degrades, and lets them go on so that it recovers. At the
end every request must be accounted for exactly once; if not, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from rich.console import Console  # noqa: E402 - the path above comes first
from rich.live import Live  # noqa: E402

import quorate  # noqa: E402
from examples.consultations.fleet import Fleet  # noqa: E402
from examples.consultations.intake import (  # noqa: E402
    Malformed,
    Request,
    read_requests,
)
from examples.consultations.report import Report, account, drawn  # noqa: E402
from examples.consultations.story import Story, ledger_at  # noqa: E402
from examples.consultations.view import Lines, Picture  # noqa: E402

REQUESTS = HERE / "consultations" / "requests.jsonl"
SETTINGS = HERE / "consultations" / "settings.yaml"


async def run(
    plan: argparse.Namespace, requests: list[Request], malformed: list[Malformed]
) -> Report:
    """The whole example; returns its account."""
    console = Console()
    is_live = console.is_terminal and not (plan.json or plan.plain)
    lines = None if is_live else Lines(as_json=plan.json)
    with tempfile.TemporaryDirectory(prefix="quorate-demo-") as name:
        folder = Path(name)
        ledger = ledger_at(folder)
        await ledger.create()
        url = f"embedded://{folder / 'server'}"
        environment = {
            "QUORATE_URL": url,
            "CONFIG_PATH": str(SETTINGS),
            "CONSULTATIONS_LEDGER": str(folder / "ledger.db"),
            "PYTHONPATH": str(HERE.parent),
        }
        os.environ.update(environment)  # worker processes inherit it
        picture = Picture(total=len(requests), malformed=len(malformed))
        async with (
            quorate.connect(url, settings=SETTINGS) as node,
            Fleet(folder, environment) as fleet,
        ):
            story = Story(node, fleet, ledger, requests, plan, picture, lines)
            if is_live:
                with Live(picture, console=console, refresh_per_second=4):
                    marks = await story.tell()
            else:
                marks = await story.tell()
            letters = await node.queue.dead_letters.list()
        return account(
            requests,
            malformed,
            await ledger.results(),
            await ledger.runs(),
            marks,
            dead_letters=len(letters),
        )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", default=str(REQUESTS), help="JSON lines, or -")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--plain", action="store_true", help="plain lines, no live view"
    )
    parser.add_argument("--report", help="also write the report to this file, as JSON")
    parser.add_argument("--picture", help="save the view at its worst moment, as SVG")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    plan = parser.parse_args()
    if plan.workers < 1 or not 0 < plan.rate <= 100_000:
        parser.error("--workers must be 1 or more, --rate above 0")
    return plan


def read(source: str) -> tuple[list[Request], list[Malformed]]:
    """The requests in a file, or on standard input."""
    if source == "-":
        return read_requests(sys.stdin)
    try:
        with Path(source).open(encoding="utf-8", errors="replace") as file:
            return read_requests(file)
    except OSError as error:
        raise SystemExit(f"{source} cannot be read: {error.strerror}") from error


def main() -> int:
    plan = arguments()
    requests, malformed = read(plan.requests)
    for line in malformed:
        print(f"refused: {line}", file=sys.stderr)
    if not requests:
        raise SystemExit(f"{plan.requests} has no request that can be worked on.")
    report = asyncio.run(run(plan, requests, malformed))
    if plan.report:
        Path(plan.report).write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    if plan.json:
        print(json.dumps({"message": "report", **report.to_dict()}))
    else:
        Console().print(drawn(report))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
