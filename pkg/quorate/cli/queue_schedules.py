"""`quorate queue schedules`: the tasks that come again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.core.errors import InvalidInput
from quorate.node import Node
from quorate.queue.model import DEFAULT_QUEUE
from quorate.queue.schedule import ScheduleRecord
from quorate.queue.timetable import Cron

from .shown import Shown

app = typer.Typer(
    help="The tasks that come again and again.", invoke_without_command=True
)

Name = Annotated[str, typer.Argument(help="The name of the schedule.")]
OfQueue = Annotated[str, typer.Option("--queue", "-q", help="The name of the queue.")]
InQueue = Annotated[
    str | None, typer.Option("--queue", "-q", help="Only those of this queue.")
]


@app.callback()
def ls(context: typer.Context, queue: InQueue = None) -> None:
    """All schedules: when they fire next, and what came of them so far."""
    if context.invoked_subcommand is not None:
        return

    async def work(node: Node, shown: Shown) -> None:
        rows = [_row(record, shown) for record in await node.queue.schedules(queue)]
        columns = (
            "schedule", "queue", "task", "when", "next", "last", "fired", "missed",
            "skipped", "is",
        )  # fmt: skip
        shown.rows(columns, rows, "There are no schedules.")

    context.obj.run(work)


@app.command("pause")
def pause(context: typer.Context, name: Name, queue: OfQueue = DEFAULT_QUEUE) -> None:
    """Let it fire no more until it is resumed."""

    async def work(node: Node, shown: Shown) -> None:
        await node.queue.pause_schedule(name, queue)
        shown.value({"schedule": name, "is": "paused"})

    context.obj.run(work)


@app.command("resume")
def resume(context: typer.Context, name: Name, queue: OfQueue = DEFAULT_QUEUE) -> None:
    """Let it fire again; what it slept through is not made up for."""

    async def work(node: Node, shown: Shown) -> None:
        await node.queue.resume_schedule(name, queue)
        shown.value({"schedule": name, "is": "at work"})

    context.obj.run(work)


@app.command("rm")
def rm(context: typer.Context, name: Name, queue: OfQueue = DEFAULT_QUEUE) -> None:
    """Forget it. A process that puts it down at its start will bring it back."""

    async def work(node: Node, shown: Shown) -> None:
        if not await node.queue.remove_schedule(name, queue):
            raise InvalidInput(f"There is no schedule {name!r} in {queue}.")
        shown.value({"schedule": name, "is": "removed"})

    context.obj.run(work)


def _row(record: ScheduleRecord, shown: Shown) -> tuple[object, ...]:
    schedule = record.schedule
    when = f"every {getattr(schedule.timetable, 'step_s', 0):g} s"
    if isinstance(schedule.timetable, Cron):
        when = f"{schedule.timetable.expression} {schedule.timetable.zone}"
    return (
        schedule.name,
        schedule.task.queue,
        schedule.task.name,
        when,
        None if record.paused else shown.moment(record.due),
        shown.when(record.fired_at),
        record.fired,
        record.missed,
        record.skipped,
        "paused" if record.paused else "at work",
    )
