"""`quorate`: look at the system, and put a hand on it.

    quorate --url redis://localhost:6379 services
    quorate config explain service.degraded_mode

Tables and colour in a terminal, `--json` for machines. Errors go to standard error with
what to do about them, and the exit code is 1.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Annotated

import typer

from quorate.core.errors import QuorateError
from quorate.node import Node, connect
from quorate.settings.load import process_environment

from . import config, locks, queue, services, worker
from .shown import Shown

URL_VARIABLE = "QUORATE_URL"

app = typer.Typer(
    name="quorate",
    help="Who is there, who may act, what is to be done, and how.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Context:
    """What the options before the command said."""

    def __init__(self, url: str, settings: str | None, shown: Shown) -> None:
        self.url = url
        self.settings = settings
        self.shown = shown

    def run(self, work: Callable[[Node, Shown], Awaitable[None]]) -> None:
        """Open a node, do `work` with it, and close it."""

        async def opened() -> None:
            async with connect(self.url, settings=self.settings) as node:
                await work(node, self.shown)

        asyncio.run(opened())


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(help=f"The server; else the variable {URL_VARIABLE}.")
    ] = "",
    settings: Annotated[
        str | None, typer.Option(help="A settings file (YAML, TOML or JSON).")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Options that stand before the command."""
    url = url or process_environment().get(URL_VARIABLE, "redis://localhost:6379")
    context.obj = Context(url, settings, Shown(as_json=json))


@app.command("version")
def version() -> None:
    """The version of Quorate."""
    typer.echo(metadata.version("quorate"))


app.command("services")(services.ls)
app.command("worker")(worker.work)
app.add_typer(locks.app, name="locks")
app.add_typer(queue.app, name="queue")
app.add_typer(config.app, name="config")


def main() -> None:
    """The entry point of the console script."""
    try:
        app()
    except QuorateError as error:
        Shown.complain(error)
        sys.exit(1)
