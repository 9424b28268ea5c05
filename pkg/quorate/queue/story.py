"""A task's way so far, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .model import TaskState
from .sights import WorkerReport
from .views import Explanation, QueueStats

WAITING = (TaskState.QUEUED, TaskState.SCHEDULED, TaskState.RETRYING)


def told(
    found: Explanation,
    stats: QueueStats,
    crew: Sequence[WorkerReport],
    *,
    can: bool | None,
) -> tuple[str, ...]:
    """The whole story, the present last. `can`: does a live worker know the task?"""
    return (*_past(found), *_present(found, stats, crew, can=can))


def _past(found: Explanation) -> Iterator[str]:
    what = f"It is for {found.task}" if found.task else "Its handler is not known"
    if found.priority is not None:
        what += f", in the lane {found.priority.value}"
    if found.age_s is not None:
        what += f", and was enqueued {_span(found.age_s)} ago"
    yield f"{what}."
    if found.attempt > 1:
        yield f"{found.attempt - 1} attempt(s) failed."
    if found.crashes:
        yield f"{found.crashes} worker(s) died while they ran it: it runs alone now."
    if found.progress:
        yield f"Last told: {found.progress}"


def _present(
    found: Explanation,
    stats: QueueStats,
    crew: Sequence[WorkerReport],
    *,
    can: bool | None,
) -> Iterator[str]:
    yield found.why
    if found.state not in WAITING:
        return
    if stats.paused and "paused" not in found.why:
        yield "The queue is paused."
    if not crew:
        yield "No worker works on this queue."
    elif can is False:
        yield f"None of the {len(crew)} worker(s) has a handler for {found.task}."
    else:
        places = sum(each.places for each in crew)
        running = sum(each.running for each in crew)
        rate = sum(each.rate for each in crew)
        yield (
            f"{len(crew)} worker(s) run {running} task(s) in {places} places and do "
            f"{rate:g} a second."
        )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
