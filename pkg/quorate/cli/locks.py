"""`quorate locks`: who holds what, and who waits."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.node import Node

from .shown import Shown

app = typer.Typer(help="Who holds what, and who waits.", no_args_is_help=True)


@app.command("ls")
def ls(context: typer.Context) -> None:
    """List the locks that are held or awaited, by anybody."""

    async def work(node: Node, shown: Shown) -> None:
        lines = await node.locks.ls()
        rows = [(line.name, ", ".join(line.holders), line.waiting) for line in lines]
        shown.rows(("lock", "holder", "waiting"), rows, "No lock is held.")

    context.obj.run(work)


@app.command("explain")
def explain(
    context: typer.Context, name: Annotated[str, typer.Argument(help="The lock.")]
) -> None:
    """Who holds one lock, since when, and who waits for it."""

    async def work(node: Node, shown: Shown) -> None:
        found = await node.locks.explain(name)
        holders = [
            ("holder", each.session, each.label, each.held_s, each.ends_in_s)
            for each in found.holders
        ]
        waiters = [
            ("waiter", each.session, each.label, each.waited_s, "")
            for each in found.waiters
        ]
        columns = ("who", "session", "label", "since_s", "ends_in_s")
        shown.rows(columns, [*holders, *waiters], f"{name} is free.")

    context.obj.run(work)
