"""`quorate queue`: what is to be done, by whom, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.node import Node
from quorate.queue.model import DEFAULT_QUEUE, PRIORITIES, TaskPriority
from quorate.queue.views import QueueStats

from . import queue_dead, queue_schedules, queue_top
from .shown import Shown

app = typer.Typer(
    help="What is to be done, by whom, and what became of it.", no_args_is_help=True
)
app.command("top")(queue_top.top)
app.command("dlq")(queue_dead.dlq)
app.command("replay")(queue_dead.replay)
app.command("purge")(queue_dead.purge)
app.add_typer(queue_schedules.app, name="schedules")

QueueName = Annotated[str, typer.Argument(help="The name of the queue.")]
InQueue = Annotated[
    str | None, typer.Option("--queue", "-q", help="Its queue; else all are asked.")
]
TaskId = Annotated[str, typer.Argument(help="The task's id.")]
OfTask = Annotated[str, typer.Option(help="Only tasks of this name.")]


@app.command("ls")
def ls(context: typer.Context) -> None:
    """All queues: how deep, how old, how fast, who works."""

    async def work(node: Node, shown: Shown) -> None:
        found = [await node.queue.stats(name) for name in await node.queue.queues()]
        if shown.as_json:
            shown.value([queue_top.facts(stats) for stats in found])
            return
        rows = [
            (
                stats.queue,
                *(stats.ready[lane] for lane in PRIORITIES),
                _oldest(stats),
                sum(stats.running.values()),
                stats.scheduled + stats.parked,
                stats.dead,
                stats.workers,
                stats.rate,
                _condition(stats),
            )
            for stats in found
        ]
        columns = (
            "queue", "high", "normal", "low", "oldest_s", "running", "later", "dead",
            "workers", "per_s", "is",
        )  # fmt: skip
        shown.rows(columns, rows, "No queue has been used.")

    context.obj.run(work)


@app.command("show")
def show(context: typer.Context, queue: QueueName = DEFAULT_QUEUE) -> None:
    """One queue: its lanes, and who works on it."""

    async def work(node: Node, shown: Shown) -> None:
        stats = await node.queue.stats(queue)
        crew = await node.queue.crew(queue)
        lanes = [
            (
                lane.value,
                stats.ready[lane],
                stats.running[lane],
                stats.oldest_age_s[lane],
                _service(lane, stats),
            )
            for lane in PRIORITIES
        ]
        columns = ("lane", "waiting", "running", "oldest_s", "lane is")
        workers = [
            (
                each.process,
                each.running,
                each.places,
                each.rate,
                each.done_total,
                each.retried_total,
                each.dead_total,
            )
            for each in crew
        ]
        heads = ("worker", "running", "places", "per_s", "done", "retried", "dead")
        if shown.as_json:
            shown.value(
                {
                    "queue": queue,
                    "lanes": [dict(zip(columns, row, strict=True)) for row in lanes],
                    "workers": [dict(zip(heads, row, strict=True)) for row in workers],
                    **_facts(stats),
                }
            )
            return
        shown.rows(columns, lanes, "")
        shown.value(_facts(stats))
        shown.rows(heads, workers, "Nobody works on it.")

    context.obj.run(work)


@app.command("explain")
def explain(context: typer.Context, task_id: TaskId, queue: InQueue = None) -> None:
    """The whole story of one task, and why it does not run yet."""

    async def work(node: Node, shown: Shown) -> None:
        name = queue or await _queue_of(node, task_id)
        found = await node.queue.explain(task_id, queue=name)
        shown.value(
            {
                "id": found.id,
                "queue": name,
                "task": found.task,
                "lane": found.priority.value if found.priority else None,
                "state": found.state.value,
                "why": found.why,
                "attempt": found.attempt,
                "crashes": found.crashes,
                "progress": found.progress,
                "age_s": found.age_s,
                "story": found.story,
            }
            if shown.as_json
            else {"task": found.id, "queue": name, "state": found.state.value}
        )
        if not shown.as_json:
            for line in found.story:
                shown.value(f"  {line}")

    context.obj.run(work)


@app.command("cancel")
def cancel(context: typer.Context, task_id: TaskId, queue: InQueue = None) -> None:
    """Stop a task: at once if it waits; if it runs, its worker is told."""

    async def work(node: Node, shown: Shown) -> None:
        name = queue or await _queue_of(node, task_id)
        state = await node.queue.cancel(task_id, queue=name)
        shown.value({"id": task_id, "queue": name, "state": state.value})

    context.obj.run(work)


@app.command("pause")
def pause(
    context: typer.Context, queue: QueueName = DEFAULT_QUEUE, task: OfTask = ""
) -> None:
    """Let nothing more be claimed; what runs goes on."""

    async def work(node: Node, shown: Shown) -> None:
        await node.queue.pause(queue, task=task)
        shown.value({"queue": queue, "paused": task or "everything"})

    context.obj.run(work)


@app.command("resume")
def resume(
    context: typer.Context, queue: QueueName = DEFAULT_QUEUE, task: OfTask = ""
) -> None:
    """Let tasks be claimed again."""

    async def work(node: Node, shown: Shown) -> None:
        await node.queue.resume(queue, task=task)
        shown.value({"queue": queue, "resumed": task or "everything"})

    context.obj.run(work)


@app.command("audit")
def audit(context: typer.Context, queue: QueueName = DEFAULT_QUEUE) -> None:
    """Look for tasks that are lost, doubled or left over, and put them right."""

    async def work(node: Node, shown: Shown) -> None:
        found = await node.queue.audit(queue)
        rows = [(task, "was in no place; it waits again") for task in found.repaired]
        rows += found.tidied
        if shown.as_json:
            listed = [{"id": task, "was": what} for task, what in rows]
            shown.value({"looked_at": found.looked_at, "mended": listed})
            return
        said = f"{found.looked_at} tasks, each in exactly one place."
        shown.rows(("id", "what was mended"), rows, said)

    context.obj.run(work)


async def _queue_of(node: Node, task_id: str) -> str | None:
    """The queue that knows the task; None lets the manager say that there is none."""
    for name in await node.queue.queues():
        place = node.queue.place(name)
        if (await place.results.find(task_id)).state is not None:
            return name
    return None


def _service(lane: TaskPriority, stats: QueueStats) -> str:
    if stats.paused:
        return "paused"
    return "shed" if len(PRIORITIES) - lane.lane <= stats.shed_level else "served"


def _condition(stats: QueueStats) -> str:
    if stats.paused:
        return "paused"
    return f"shed {stats.shed_level}" if stats.shed_level else "served"


def _oldest(stats: QueueStats) -> float | None:
    ages = [age for age in stats.oldest_age_s.values() if age is not None]
    return max(ages, default=None)


def _facts(stats: QueueStats) -> dict[str, object]:
    return {
        "scheduled": stats.scheduled,
        "parked": stats.parked,
        "dead letters": stats.dead,
        "paused": "yes" if stats.paused else "no",
        "done per s": round(stats.rate, 1),
    }
