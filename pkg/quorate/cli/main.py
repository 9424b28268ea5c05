"""`quorate`: look at the system, and put a hand on it.

    quorate --url redis://localhost:6379 services
    quorate config explain service.degraded_mode
    quorate --locks consul://localhost:8500 locks ls

Tables and colour in a terminal, `--json` for machines. Errors go to standard error with
what to do about them, and the exit code is 1.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Annotated

import typer

from quorate.core.errors import QuorateError
from quorate.core.fence import Fence, enter_fence
from quorate.locks.door import get_lock_manager
from quorate.locks.manager import LockManager
from quorate.node import Node, connect
from quorate.settings import environment
from quorate.settings.load import load_settings, process_environment

from . import config, locks, queue, services, worker
from .shown import Shown

app = typer.Typer(
    name="quorate",
    help="Who is there, who may act, what is to be done, and how.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Context:
    """What the options before the command said."""

    def __init__(
        self, url: str, locks: str, settings: str | None, shown: Shown
    ) -> None:
        self.url = url
        self.locks = locks or url
        self.settings = settings
        self.shown = shown

    def run(self, work: Callable[[Node, Shown], Awaitable[None]]) -> None:
        """Open a node, do `work` with it, and close it."""

        async def opened() -> None:
            node = connect(self.url, locks=self.locks, settings=self.settings)
            async with node:
                act_under(process_environment())
                await work(node, self.shown)

        asyncio.run(opened())

    def run_locks(self, work: Callable[[LockManager, Shown], Awaitable[None]]) -> None:
        """Open the locks alone, wherever they are, and do `work` with them."""

        async def opened() -> None:
            settings = load_settings(self.settings)
            async with await get_lock_manager(self.locks, settings=settings) as locks:
                await work(locks, self.shown)

        asyncio.run(opened())


def act_under(told: Mapping[str, str]) -> None:
    """Write with the token of `quorate locks run`, if that runs this command."""
    name, token = told.get(environment.LOCK, ""), told.get(environment.FENCE, "")
    if name and token.isdigit():
        enter_fence(Fence(name, int(token), session="", tag=""))


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(help=f"The server; else the variable {environment.URL}.")
    ] = "",
    locks: Annotated[
        str,
        typer.Option(
            help=f"Where the locks are, if elsewhere; else {environment.LOCKS_URL}."
        ),
    ] = "",
    settings: Annotated[
        str | None, typer.Option(help="A settings file (YAML, TOML or JSON).")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Options that stand before the command."""
    said = process_environment()
    url = url or said.get(environment.URL, "redis://localhost:6379")
    where = locks or said.get(environment.LOCKS_URL, "")
    context.obj = Context(url, where, settings, Shown(as_json=json))


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
