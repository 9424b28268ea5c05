"""`quorate queue`: what is to be done, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.node import Node
from quorate.queue.model import DEFAULT_QUEUE, TaskPriority

from . import queue_schedules
from .shown import Shown

app = typer.Typer(help="What is to be done, and what became of it.")
app.add_typer(queue_schedules.app, name="schedules")
Queue = Annotated[str, typer.Option(help="The name of the queue.")]


@app.command("show")
def show(context: typer.Context, queue: Queue = DEFAULT_QUEUE) -> None:
    """Depth, age and work in progress of each lane."""

    async def work(node: Node, shown: Shown) -> None:
        stats = await node.queue.stats(queue)
        rows = [
            (
                lane.value,
                stats.ready[lane],
                stats.running[lane],
                stats.oldest_age_s[lane] or 0.0,
                "shed" if 3 - index <= stats.shed_level else "served",
            )
            for index, lane in enumerate(TaskPriority)
        ]
        columns = ("lane", "waiting", "running", "oldest_s", "lane is")
        shown.rows(columns, rows, "")
        if not shown.as_json:
            shown.value(
                {
                    "scheduled": stats.scheduled,
                    "dead letters": stats.dead,
                    "paused": "yes" if stats.paused else "no",
                }
            )

    context.obj.run(work)


@app.command("explain")
def explain(
    context: typer.Context,
    task_id: Annotated[str, typer.Argument(help="The task's id.")],
    queue: Queue = DEFAULT_QUEUE,
) -> None:
    """Where one task is, and what keeps it from running."""

    async def work(node: Node, shown: Shown) -> None:
        found = await node.queue.explain(task_id, queue=queue)
        shown.value(
            {
                "id": found.id,
                "state": found.state.value,
                "why": found.why,
                "attempt": found.attempt,
                "crashes": found.crashes,
                "progress": found.progress,
            }
        )

    context.obj.run(work)


@app.command("dlq")
def dlq(context: typer.Context, queue: Queue = DEFAULT_QUEUE) -> None:
    """The dead letters, the latest first."""

    async def work(node: Node, shown: Shown) -> None:
        letters = await node.queue.place(queue).dead_letters.list()
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


@app.command("replay")
def replay(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids; else all.")] = None,
    queue: Queue = DEFAULT_QUEUE,
) -> None:
    """Put dead letters back with a clean record."""

    async def work(node: Node, shown: Shown) -> None:
        place = node.queue.place(queue)
        shown.value({"replayed": await place.dead_letters.replay(ids or None)})

    context.obj.run(work)
