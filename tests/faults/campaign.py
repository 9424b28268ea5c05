"""All runs, and all planted bugs against the runs that catch them.

A run needs nothing but its seed, so it can be repeated alone.
A bug is caught if its run is not valid, and tried a few times with other seeds before
it counts as missed: a fault has to fall upon the right moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.lock_bugs import BUGS, Bug
from tests.faults.one_run import LeftOut, run_apart
from tests.faults.stage import Result

ALONE = ("L1", "L8", "L10")
"""They work without a rest; beside others they would show how those feel."""

LONG = ("L6 safe", "L2", "L3", "L6 default")
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


async def campaign(
    directory: Path,
    seed: int,
    scale: float,
    names: Sequence[str],
    *,
    at_once: int,
    told: Callable[[Result], None],
) -> tuple[list[Result], list[str]]:
    """The results, and why a run was left out. What needs the machine runs alone."""
    results: dict[str, Result] = {}
    left_out: list[str] = []
    places = asyncio.Semaphore(at_once)

    async def one(name: str) -> None:
        async with places:
            try:
                place = directory / name.replace(" ", "-")
                results[name] = await run_apart(name, place, seed, scale)
            except LeftOut as error:
                left_out.append(f"{name} was left out: {error}")
            else:
                told(results[name])

    for name in names:
        if name in ALONE:
            await one(name)
    first = sorted(set(names) - set(ALONE), key=lambda name: name not in LONG)
    await asyncio.gather(*map(one, first))
    return [results[name] for name in names if name in results], left_out


async def planted(
    directory: Path, seed: int, *, at_once: int, told: Callable[[Caught], None]
) -> list[Caught]:
    """What became of each planted bug."""
    places = asyncio.Semaphore(at_once)

    async def one(name: str, bug: Bug) -> Caught:
        async with places:
            caught = await catches(directory, name, bug, seed)
            told(caught)
            return caught

    return await asyncio.gather(*(one(*named) for named in BUGS.items()))


async def catches(directory: Path, name: str, bug: Bug, seed: int) -> Caught:
    """Run with the bug planted until it is caught, or tried often enough."""
    began = time.monotonic()
    result: Result | None = None
    for attempt in range(TRIES):
        place = directory / "planted" / f"{name}-{attempt}"
        result = await run_apart(bug.run, place, seed + attempt, BUG_SCALE, (name,))
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
