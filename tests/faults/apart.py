"""A fault run in a process of its own.

So that runs which mostly wait can go on beside each other, and judging one holds up no
other. The result lies in the run's directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.faults.stage import Result

from quorate.testing.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = 3


class LeftOut(Exception):
    """What the run needs is not on this machine."""


async def run_apart(
    suite: str,
    name: str,
    place: Path,
    seed: int,
    scale: float,
    bugs: tuple[str, ...] = (),
) -> Result:
    """The result of one run of the suite. Raises `LeftOut`."""
    order = json.dumps([suite, name, str(place), seed, scale, bugs])
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.one_run", order),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ""},
    )
    try:
        _, said = await child.communicate()
    except BaseException:
        child.terminate()
        raise
    words = said.decode(errors="replace").strip()
    if child.returncode == LEFT_OUT:
        raise LeftOut(words.splitlines()[-1])
    if child.returncode:
        raise RuntimeError(f"{name} came to no result:\n{words[-4000:]}")
    return read_result(place)


def read_result(place: Path) -> Result:
    """What a run has saved."""
    told = json.loads((place / "result.json").read_text(encoding="utf-8"))
    verdicts = {
        what: Verdict(verdict["ruling"], verdict["judged"], verdict["why"])
        for what, verdict in told["verdicts"].items()
    }
    return Result(
        run=told["run"],
        title=told["title"],
        seed=told["seed"],
        took_s=told["took_s"],
        verdicts=verdicts,
        numbers=told["numbers"],
        directory=told["directory"],
    )
