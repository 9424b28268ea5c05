"""All runs one after the other, and all planted bugs against the runs that catch them.

A run needs nothing but its seed, so it can be repeated alone.
A bug is caught if its run is not valid, and tried a few times with other seeds before
it counts as missed: a fault has to fall upon the right moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.bugs import Bug
from tests.faults.fake_clock import MissingCompiler
from tests.faults.running import Run, perform
from tests.faults.stage import Result, Stage
from tests.servers import MissingServer

BUG_SCALE = 0.02
TRIES = 3


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a planted bug. `why` is what the judge said of it."""

    title: str
    run: str
    is_caught: bool
    seed: int
    took_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Suite:
    """The runs of one subject, the bugs they have to catch, and words for its page.

    `counted` is the number of each run that stands in the table.
    """

    name: str
    runs: Mapping[str, Run]
    bugs: Mapping[str, Bug]
    head: str
    words: str
    counted: str


async def campaign(
    suite: Suite,
    directory: Path,
    seed: int,
    scale: float,
    names: Iterable[str],
    told: Callable[[Result], None],
) -> tuple[list[Result], list[str]]:
    """The results, and why a run was left out."""
    results: list[Result] = []
    left_out: list[str] = []
    for name in names:
        place = directory / name.replace(" ", "-")
        try:
            result = await perform(suite.runs, name, Stage(place, seed, scale))
        except (MissingCompiler, MissingServer) as error:
            left_out.append(f"{name} was left out: {error}")
            continue
        told(result)
        results.append(result)
    return results, left_out


async def planted(
    suite: Suite, directory: Path, seed: int, told: Callable[[Caught], None]
) -> list[Caught]:
    """What became of each planted bug."""
    found: list[Caught] = []
    for name in suite.bugs:
        caught = await catches(suite, directory, name, seed)
        found.append(caught)
        told(caught)
    return found


async def catches(suite: Suite, directory: Path, name: str, seed: int) -> Caught:
    """Run with the bug planted until it is caught, or tried often enough."""
    began, bug = time.monotonic(), suite.bugs[name]
    result: Result | None = None
    for attempt in range(TRIES):
        place = directory / "planted" / f"{name}-{attempt}"
        stage = Stage(place, seed + attempt, BUG_SCALE, (name,))
        result = await perform(suite.runs, bug.run, stage)
        if result.ruling == "invalid":
            break
    assert result is not None
    return Caught(
        title=bug.title,
        run=bug.run,
        is_caught=result.ruling == "invalid",
        seed=result.seed,
        took_s=time.monotonic() - began,
        why=result.why,
    )
