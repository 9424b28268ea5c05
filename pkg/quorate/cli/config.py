"""`quorate config`: the shared configuration."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from quorate.core.errors import InvalidInput
from quorate.node import Node

from .shown import Shown

app = typer.Typer(help="The shared configuration.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="A dotted key, such as service.name.")]


@app.command("get")
def get(context: typer.Context, key: Key) -> None:
    """The value in force."""

    async def work(node: Node, shown: Shown) -> None:
        shown.value(node.config.get(key))

    context.obj.run(work)


@app.command("set")
def set_value(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(help="JSON; anything else is text.")],
    expect: Annotated[
        int | None, typer.Option(help="The revision the key must have.")
    ] = None,
    author: Annotated[str, typer.Option(help="Who does it.")] = "quorate command",
    comment: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Write one value to the shared store and show its revision."""

    async def work(node: Node, shown: Shown) -> None:
        revision = await node.config.set(
            key, _parsed(value), expect=expect, author=author, comment=comment
        )
        shown.value({"key": key, "revision": revision})

    context.obj.run(work)


@app.command("explain")
def explain(context: typer.Context, key: Key) -> None:
    """Every layer that knows the key, the one in force first."""

    async def work(node: Node, shown: Shown) -> None:
        found = node.config.explain(key)
        rows = [
            (
                origin.in_force,
                origin.layer.words,
                origin.place,
                json.dumps(origin.value),
            )
            for origin in reversed(found.origins)
        ]
        shown.rows(("in force", "layer", "where", "value"), rows, f"{key} is not set.")

    context.obj.run(work)


@app.command("history")
def history(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="A dotted key; else everything.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 10,
) -> None:
    """The last changes, newest first: who, when, why."""

    async def work(node: Node, shown: Shown) -> None:
        commits = await node.config.history(key, limit)
        rows = [
            (
                commit.revision,
                shown.when(commit.at),
                commit.author,
                ", ".join(write.key for write in commit.writes),
                commit.comment,
            )
            for commit in commits
        ]
        columns = ("revision", "when", "author", "keys", "comment")
        shown.rows(columns, rows, "Nothing has been written.")

    context.obj.run(work)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
    except RecursionError as error:
        raise InvalidInput("The value is nested too deeply.") from error
