"""All runs, and all planted bugs against the runs that catch them.

A run needs nothing but its seed, so it can be repeated alone.
A bug is caught if its run is not valid, and tried a few times with other seeds before
it counts as missed: a fault has to fall upon the right moment.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.apart import LeftOut, run_apart
from tests.faults.bugs import Bug
from tests.faults.running import Run, patience_s
from tests.faults.stage import Result

from quorate.testing.verdict import Verdict

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

    `counted` is the number of each run that stands in the table. `beside`: the runs
    that may go on beside each other, the longest first; the others are alone.
    A run that takes longer than `within_s` is stopped, and is not valid.
    None is begun after `minutes`; then that is said of it.
    """

    name: str
    runs: Mapping[str, Run]
    bugs: Mapping[str, Bug]
    head: str
    words: str
    counted: str
    beside: tuple[str, ...] = ()
    bugs_at_once: int = 1
    within_s: float = 1200.0
    minutes: float = math.inf


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done, drawn from what, and how many runs are at it at once."""

    seed: int
    scale: float
    at_once: int


async def campaign(
    suite: Suite,
    directory: Path,
    size: Size,
    names: Sequence[str],
    told: Callable[[Result], None],
) -> tuple[list[Result], list[str]]:
    """The results, and why a run was left out. First those that want to be alone."""
    results: dict[str, Result] = {}
    left_out: list[str] = []
    places = asyncio.Semaphore(size.at_once)
    ends_at = time.monotonic() + 60.0 * suite.minutes

    async def one(name: str) -> None:
        place = directory / name.replace(" ", "-")
        async with places:
            if time.monotonic() > ends_at:
                why = f"not begun: {suite.minutes:g} min were over"
                verdicts = {"time": Verdict("unknown", 0, why)}
                found = Result(name, "not begun", size.seed, 0.0, verdicts, {}, "")
                results[name] = found
                told(found)
                return
            try:
                found = await run_apart(
                    *(suite.name, name, place, size.seed, size.scale),
                    within_s=patience_s(suite.within_s, size.scale),
                )
            except LeftOut as error:
                left_out.append(f"{name} was left out: {error}")
                return
        told(found)
        results[name] = found

    for name in names:
        if name not in suite.beside:
            await one(name)
    await asyncio.gather(*(one(name) for name in suite.beside if name in names))
    return [results[name] for name in names if name in results], left_out


async def planted(
    suite: Suite, directory: Path, size: Size, told: Callable[[Caught], None]
) -> list[Caught]:
    """What became of each planted bug."""
    places = asyncio.Semaphore(min(size.at_once, suite.bugs_at_once))

    async def one(name: str) -> Caught:
        async with places:
            caught = await catches(suite, directory, name, size.seed)
        told(caught)
        return caught

    return await asyncio.gather(*map(one, suite.bugs))


async def catches(suite: Suite, directory: Path, name: str, seed: int) -> Caught:
    """Run with the bug planted until it is caught, or tried often enough."""
    began, bug = time.monotonic(), suite.bugs[name]
    result: Result | None = None
    for attempt in range(TRIES):
        place = directory / "planted" / f"{name}-{attempt}"
        result = await run_apart(
            *(suite.name, bug.run, place, seed + attempt, BUG_SCALE, (name,)),
            within_s=patience_s(suite.within_s, BUG_SCALE),
        )
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
