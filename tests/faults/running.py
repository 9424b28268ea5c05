"""What the fault runs share: crews at work, plans of harm, and small verdicts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from tests.faults.fleet import Crew, Fleet
from tests.faults.lock_judge import percentile
from tests.faults.stage import CALM_S, Result, Stage, seconds

from quorate.testing.hands import Doing
from quorate.testing.history import History
from quorate.testing.nemesis import Hand, NemesisOptions
from quorate.testing.verdict import Verdict

Run: TypeAlias = Callable[[Stage], Awaitable[Result]]

SHORT = 0.1
SHORT_WITHIN_S = 120.0

TINY = 0.005
FEW = 2


def crew_of(stage: Stage, crew: Crew | None = None) -> Crew:
    """The crew, with the bugs that are planted on this stage; a few for a short run.

    Starting a process costs most of what a short run does, on a busy machine tenfold.
    """
    crew = crew or Crew()
    few = min(crew.processes, FEW) if stage.scale <= TINY else crew.processes
    return replace(crew, bugs=stage.bugs, processes=few)


def plan_of(
    action: str, fleet: Fleet, *, every_s: float, lasts_s: tuple[float, float]
) -> NemesisOptions:
    return NemesisOptions(
        duration_s=CALM_S + lasts_s[1] + 0.1,
        faults={action: tuple(fleet.workers)},
        every_s=every_s,
        calm_s=CALM_S,
        shortest_s=lasts_s[0],
        longest_s=lasts_s[1],
    )


def own_stops(fleet: Fleet) -> Hand:
    async def strike(name: str) -> None:
        await fleet.workers[name].stop_itself()

    async def heal(name: str) -> None:
        fleet.workers[name].resume()

    return Doing(strike, heal)


def patience_s(full_s: float, scale: float) -> float:
    """How long a run may take that has `full_s` at its full size."""
    return full_s if scale >= SHORT else min(full_s, SHORT_WITHIN_S)


async def perform(
    runs: Mapping[str, Run], name: str, stage: Stage, within_s: float = SHORT_WITHIN_S
) -> Result:
    """One run, whatever happens to it leaving no process behind."""
    try:
        return await asyncio.wait_for(runs[name](stage), within_s)
    except TimeoutError as error:
        took = Verdict("invalid", 1, f"it did not come to an end: {error!r}")
        return stage.result(name, "did not end", {"end": took}, {})
    finally:
        stage.close()


@contextlib.asynccontextmanager
async def at_work(fleet: Fleet) -> AsyncIterator[None]:
    """The fleet for the length of the block."""
    await fleet.start()
    try:
        yield
    finally:
        await fleet.stop()


async def quiesce(fleet: Fleet, within_s: float) -> None:
    """All is healed: traffic flows on for a while, then everybody finishes."""
    await seconds(within_s)
    await fleet.rest()


def waits_s_of(history: History) -> list[float]:
    return [
        (op.returned_ns - op.called_ns) / 1e9
        for op in history.of("acquire")
        if op.returned_ns is not None
    ]


def notice(soon_s: list[float], unnoticed: int) -> Verdict:
    return none("holds ended unnoticed", unnoticed, len(soon_s))


def none(what: str, count: int, judged_: int) -> Verdict:
    if count:
        return Verdict("invalid", judged_, f"{count} {what}")
    return Verdict("valid", judged_)


def seconds_of(values: Sequence[float]) -> str:
    figures = [percentile(values, share) for share in (0.5, 0.99, 1.0)]
    return " / ".join(f"{figure:.3f}" for figure in figures) + " s"
