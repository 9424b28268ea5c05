"""A fault run in a process of its own.

So that runs which mostly wait can go on beside each other, and judging one holds up no
other. The result lies in the run's directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from tests.faults.stage import Result

from quorate.testing.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = 3


STOPPING_S = 30.0
PROGRAM = "tests.faults.one_run"


class LeftOut(Exception):
    """What the run needs is not on this machine."""


async def run_apart(
    suite: str,
    name: str,
    place: Path,
    seed: int,
    scale: float,
    bugs: tuple[str, ...] = (),
    *,
    within_s: float,
    program: str = PROGRAM,
) -> Result:
    """The result of one run of the suite. Raises `LeftOut`.

    A run ends itself after `within_s`. One that cannot even do that is killed soon
    after; its servers and workers end with it. Like one that fails, it is invalid.
    """
    began = time.monotonic()
    order = json.dumps([suite, name, str(place), seed, scale, bugs])
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program, order),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ""},
    )
    try:
        async with asyncio.timeout(within_s + STOPPING_S):
            _, said = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        why = f"it had to be killed after {time.monotonic() - began:.0f} s"
        return _without(name, place, seed, began, why)
    except BaseException:
        child.terminate()
        raise
    words = said.decode(errors="replace").strip()
    if child.returncode == LEFT_OUT:
        raise LeftOut(words.splitlines()[-1])
    if child.returncode:
        place.mkdir(parents=True, exist_ok=True)
        (place / "failure.txt").write_text(words, encoding="utf-8")
        why = f"it came to no result: {(words or '?').splitlines()[-1][:200]}"
        return _without(name, place, seed, began, why)
    return read_result(place)


def _without(name: str, place: Path, seed: int, began: float, why: str) -> Result:
    took_s = time.monotonic() - began
    verdicts = {"end": Verdict("invalid", 1, why)}
    return Result(name, "no result", seed, took_s, verdicts, {}, str(place))


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
