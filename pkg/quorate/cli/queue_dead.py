"""`quorate queue dlq`, `replay` and `purge`: the tasks that were set aside."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from quorate.core.errors import InvalidInput
from quorate.node import Node
from quorate.queue.guards import Rate
from quorate.queue.model import DEFAULT_QUEUE
from quorate.queue.views import Which

from .shown import Shown

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

QueueName = Annotated[str, typer.Option("--queue", "-q", help="The name of the queue.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Their ids; else all.")]
Reason = Annotated[str, typer.Option(help="Only those with this reason.")]
OfTask = Annotated[str, typer.Option(help="Only tasks of this name.")]
Since = Annotated[str, typer.Option(help="Only deaths of the last 90s, 10m, 2h, 7d.")]
Until = Annotated[str, typer.Option(help="Only deaths longer ago than this.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count them.")]


def dlq(
    context: typer.Context,
    queue: QueueName = DEFAULT_QUEUE,
    first: Annotated[int, typer.Option(min=0, help="Leave out so many.")] = 0,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many.")] = 50,
) -> None:
    """The dead letters, the latest first."""

    async def work(node: Node, shown: Shown) -> None:
        dead = node.queue.place(queue).dead_letters
        letters = await dead.list(first=first, most=most)
        if shown.as_json:
            listed = [asdict(each) for each in letters]
            for each, letter in zip(listed, letters, strict=True):
                each["priority"] = letter.priority.value
                each["died_at"] = shown.when(letter.died_at)
            shown.value(listed)
            return
        rows = [
            (
                each.id,
                each.name,
                each.reason,
                each.attempt,
                shown.when(each.died_at),
                each.error,
            )
            for each in letters
        ]
        columns = ("id", "task", "reason", "attempt", "died", "error")
        shown.rows(columns, rows, "There are no dead letters.")

    context.obj.run(work)


def replay(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueName = DEFAULT_QUEUE,
    reason: Reason = "",
    task: OfTask = "",
    since: Since = "",
    until: Until = "",
    rate: Annotated[float, typer.Option(min=0, help="So many a second at most.")] = 0,
    *,
    dry_run: DryRun = False,
) -> None:
    """Put dead letters back with a clean record, the oldest first."""
    which = chosen(ids, reason, task, since, until)
    pace = Rate(1, per_s=1 / rate) if rate else None

    async def work(node: Node, shown: Shown) -> None:
        dead = node.queue.place(queue).dead_letters
        count = await dead.replay(which, rate=pace, dry_run=dry_run)
        shown.value({"would be replayed" if dry_run else "replayed": count})

    context.obj.run(work)


def purge(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueName = DEFAULT_QUEUE,
    reason: Reason = "",
    task: OfTask = "",
    since: Since = "",
    until: Until = "",
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, if nothing chooses.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Forget dead letters for good."""
    which = chosen(ids, reason, task, since, until)
    if which == Which() and not everything:
        raise InvalidInput(
            "Nothing says which dead letters to forget.",
            "They cannot be brought back.",
            "Give ids or a choice such as --task, or --all.",
        )

    async def work(node: Node, shown: Shown) -> None:
        dead = node.queue.place(queue).dead_letters
        count = await dead.purge(which, dry_run=dry_run)
        shown.value({"would be forgotten" if dry_run else "forgotten": count})

    context.obj.run(work)


def chosen(
    ids: list[str] | None, reason: str, task: str, since: str, until: str
) -> Which:
    """What the options choose."""
    now = time.time()
    return Which(
        ids=tuple(ids) if ids else None,
        reason=reason,
        task=task,
        since=now - seconds(since) if since else None,
        until=now - seconds(until) if until else None,
    )


def seconds(text: str) -> float:
    """`90s`, `10m`, `2h`, `7d`. Raises `InvalidInput`."""
    number, unit = text[:-1], text[-1:]
    try:
        return float(number) * UNITS[unit]
    except (ValueError, KeyError) as error:
        raise InvalidInput(
            f"{text!r} is not a span of time.",
            "",
            "Write a number and s, m, h or d, such as 90s or 7d.",
        ) from error
