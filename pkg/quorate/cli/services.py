"""`quorate services`: who is there, and how they are."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.node import Node

from .shown import Shown

COLUMNS = (
    "service", "instance", "health", "state", "endpoint", "version", "registered",
)  # fmt: skip


def ls(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="One service; else all.")] = "",
) -> None:
    """List services and their instances."""

    async def work(node: Node, shown: Shown) -> None:
        counts = await node.registry.discovery.services()
        names = [service] if service else [count.name for count in counts]
        rows = []
        for name in names:
            for each in (await node.registry.snapshot(name)).instances:
                rows.append(
                    (
                        each.name,
                        each.id,
                        each.state.value,
                        "suspect" if each.suspect else each.admin_state.value,
                        each.endpoint,
                        each.version,
                        shown.when(each.registered_at),
                    )
                )
        shown.rows(COLUMNS, rows, "Nobody is registered.")

    context.obj.run(work)
