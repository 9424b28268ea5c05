"""`quorate locks`: who holds what, and who waits."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.locks.manager import LockManager

from . import lock_commands
from .shown import Shown

EXPLAINED = (
    *("who", "how", "session", "owner", "label"),
    *("token", "since_s", "ends_in_s"),
)
app = typer.Typer(help="Who holds what, and who waits.", no_args_is_help=True)


@app.command("ls")
def ls(context: typer.Context) -> None:
    """List the locks that are held or awaited, by anybody."""

    async def work(locks: LockManager, shown: Shown) -> None:
        lines = await locks.ls()
        rows = [(line.name, ", ".join(line.holders), line.waiting) for line in lines]
        shown.rows(("lock", "holder", "waiting"), rows, "No lock is held.")

    context.obj.run_locks(work)


@app.command("explain")
def explain(
    context: typer.Context, name: Annotated[str, typer.Argument(help="The lock.")]
) -> None:
    """Who holds one lock, since when, and who waits for it."""

    async def work(locks: LockManager, shown: Shown) -> None:
        found = await locks.explain(name)
        holders = [
            (
                "holder",
                each.lock_type.value,
                each.session,
                each.owner,
                each.label,
                each.token,
                each.held_s,
                each.ends_in_s,
            )
            for each in found.holders
        ]
        waiters = [
            (
                "waiter",
                each.lock_type.value,
                each.session,
                each.owner,
                each.label,
                "",
                each.waited_s,
                "",
            )
            for each in found.waiters
        ]
        shown.rows(EXPLAINED, [*holders, *waiters], f"{name} is free.")

    context.obj.run_locks(work)


@app.command("why")
def why(
    context: typer.Context,
    owner: Annotated[
        str, typer.Argument(help="An owner, label or session, as explain shows them.")
    ],
) -> None:
    """What an owner waits for, who holds that, what that one waits for, and so on."""

    async def work(locks: LockManager, shown: Shown) -> None:
        found = await locks.why(owner)
        if not shown.as_json:
            shown.value(str(found))
            return
        steps = [
            {
                "depth": step.depth,
                "owner": step.waiter.owner,
                "session": step.waiter.session,
                "label": step.waiter.label,
                "waits_for": step.waiter.name,
                "waited_s": step.waiter.waited_s,
                "before": step.before,
                "held_by": [f"{h.session}/{h.owner}" for h in step.holders],
            }
            for step in found.steps
        ]
        shown.value({"owner": owner, "steps": steps, "is_circle": found.is_circle})

    context.obj.run_locks(work)


app.command("release")(lock_commands.release)
app.command("watch")(lock_commands.watch)
app.command("top")(lock_commands.top)
app.command("run")(lock_commands.run)
