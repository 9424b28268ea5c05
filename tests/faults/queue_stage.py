"""What the fault runs of the queue share: traffic, the end of a run, its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.faults.queue_crew import Producer, QueueFleet
from tests.faults.queue_judge import (
    account,
    spread_ms,
    tasks_kept,
    tokens_grow,
    waits_s,
)
from tests.faults.running import SHORT, none
from tests.faults.stage import CALM_S, Result, Stage

from quorate.core.errors import MissingCapability
from quorate.queue.model import Task
from quorate.testing.history import History
from quorate.testing.nemesis import NemesisOptions
from quorate.testing.verdict import Verdict

DRAIN_WITHIN_S = 60.0
DRAIN_SHORT_WITHIN_S = 15.0


def strikes(
    action: str, targets: Iterable[str], every_s: float, lasts_s: tuple[float, float]
) -> NemesisOptions:
    """One kind of harm to any of `targets`."""
    return NemesisOptions(
        duration_s=CALM_S + lasts_s[1] + 0.1,
        faults={action: tuple(targets)},
        every_s=every_s,
        calm_s=CALM_S,
        shortest_s=lasts_s[0],
        longest_s=lasts_s[1],
    )


def short_tasks(producer: Producer, work_s: float = 0.005) -> Any:
    """Makes tasks of all lanes that take a moment."""

    def make(count: int) -> list[Task]:
        return producer.tasks(count, payload={"work_s": work_s})

    return make


async def settled(producer: Producer, within_s: float | None = None) -> Verdict:
    """All is healed: everything ends, and nothing is in no place."""
    if within_s is None:
        is_short = producer.stage.scale < SHORT
        within_s = DRAIN_SHORT_WITHIN_S if is_short else DRAIN_WITHIN_S
    left = await producer.drained(within_s)
    if left:
        return Verdict("invalid", 1, left)
    try:
        audit = await producer.queue.place().admin.audit()
    except MissingCapability:
        return Verdict("valid", 1)
    return none("tasks in no place", len(audit.repaired), max(1, audit.looked_at))


def judged(
    history: History,
    settled: Verdict,
    *,
    most_duplicates: int | None = None,
    dead: Iterable[str] = (),
    may_be_lost: bool = False,
) -> dict[str, Verdict]:
    """The verdicts that every run of the queue has to pass."""
    kept = tasks_kept(
        history,
        most_duplicates=most_duplicates,
        dead=dead,
        may_be_lost=may_be_lost,
    )
    return {"tasks": kept, "settled": settled, "tokens": tokens_grow(history)}


def numbers_of(
    history: History, fleet: QueueFleet, dead: Iterable[str] = ()
) -> dict[str, object]:
    """The numbers of every run."""
    dead = list(dead)
    counted = account(history, dead)
    faults = history.of("nemesis")
    asked = [op.args["id"] for op in history.of("enqueue")]
    return {
        "tasks": counted.enqueued,
        "done": counted.done - len(dead),
        "dead letters": len(dead),
        "lost": len(counted.lost),
        "unexpected": len(counted.unexpected),
        "run more than once": len(counted.duplicated),
        "duplicates": counted.duplicates,
        "faults": len(faults) + fleet.deaths,
        "completions refused as late": fleet.stale,
        "from being put in to its first run, p50 / p99 / max": spread_ms(
            waits_s(history, asked)
        ),
    }


async def ended(
    stage: Stage,
    run: str,
    title: str,
    verdicts: Mapping[str, Verdict],
    numbers: Mapping[str, object],
) -> Result:
    return stage.result(run, title, verdicts, numbers)


async def dead_ids(producer: Producer) -> dict[str, str]:
    """The dead letters and why they are."""
    found: dict[str, str] = {}
    while True:
        some = await producer.queue.dead_letters.list(first=len(found), most=100)
        found.update({letter.id: letter.reason for letter in some})
        if len(some) < 100:
            return found
