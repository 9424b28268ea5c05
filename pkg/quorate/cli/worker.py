"""`quorate worker`: processes that work on tasks, under a supervisor.

    quorate worker app.tasks --processes 4 --concurrency 32

The modules are tried in a process of their own first, so that a fault in them is told
before anything starts. A signal lets running tasks finish within the grace, and gives
the rest back; a second one waits no longer.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from quorate.core.errors import InvalidInput, QuorateError
from quorate.node import Node, connect
from quorate.queue.rehearsal import Found, rehearse
from quorate.queue.workforce import WorkPlan
from quorate.settings.load import load_settings
from quorate.settings.tree import Settings

from .crew_view import CrewView
from .reload import Changes
from .shown import Shown

RELOAD_GRACE_S = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
Level = Literal["debug", "info", "warning", "error", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the options said."""

    url: str
    settings: Settings
    plan: WorkPlan
    processes: int
    reload: bool
    folder: Path
    is_plain: bool


Modules = Annotated[
    list[str], typer.Argument(help="Modules that declare tasks, such as app.tasks.")
]
Processes = Annotated[
    int | None, typer.Option("--processes", "-p", min=1, help="How many.")
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", "-c", min=1, help="Tasks in each at once."),
]
Queues = Annotated[str, typer.Option(help="Only these, with commas between them.")]
Grace = Annotated[
    float | None, typer.Option(min=0, help="Seconds to finish when told to stop.")
]
Prepare = Annotated[
    list[str] | None, typer.Option(help="module:function to call in each first.")
]
MaxTasks = Annotated[
    int | None, typer.Option(min=0, help="Replace a process after so many tasks.")
]
MaxMemory = Annotated[
    int | None, typer.Option(min=0, help="Replace a process above so many MiB.")
]
Folder = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Where the modules are.")
]
Reload = Annotated[
    bool, typer.Option("--reload", help="Start anew when a Python file changes.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of a live table.")]


def work(
    context: typer.Context,
    modules: Modules,
    processes: Processes = None,
    concurrency: Concurrency = None,
    queues: Queues = "",
    grace: Grace = None,
    prepare: Prepare = None,
    max_tasks: MaxTasks = None,
    max_memory: MaxMemory = None,
    folder: Folder = Path(),
    url: Annotated[str, typer.Option(help="The server.")] = "",
    settings: Annotated[str | None, typer.Option(help="A settings file.")] = None,
    *,
    reload: Reload = False,
    plain: Plain = False,
) -> None:
    """Work on tasks until told to stop."""
    given = load_settings(settings or context.obj.settings)
    queue = given.queue
    if concurrency is not None:
        queue = replace(queue, concurrency=concurrency)
    if grace is not None:
        queue = replace(queue, grace_s=grace)
    if max_tasks is not None:
        queue = replace(queue, recycle_after_tasks=max_tasks)
    if max_memory is not None:
        queue = replace(queue, recycle_above_bytes=max_memory * 2**20)
    named = tuple(name.strip() for name in queues.split(",") if name.strip())
    plan = WorkPlan(modules=tuple(modules), prepare=tuple(prepare or ()), queues=named)
    is_plain = plain or context.obj.shown.as_json or not sys.stdout.isatty()
    logging = replace(given.logging, level=_level(given, is_plain=is_plain))
    wanted = Wanted(
        url=url or context.obj.url,
        settings=replace(given, queue=queue, logging=logging),
        plan=plan,
        processes=processes or given.messaging.workers.count,
        reload=reload,
        folder=folder.resolve(),
        is_plain=is_plain,
    )
    sys.path.insert(0, str(wanted.folder))
    asyncio.run(Shift(wanted, context.obj.shown).run())


def _level(given: Settings, *, is_plain: bool) -> Level:
    """A live table has events above it; log lines would tear it.

    Without one the log tells of workers that come and go, unless it was set to tell
    less than it does by default.
    """
    if not is_plain:
        return "off"
    level = given.logging.level
    return "info" if level == Settings().logging.level else level


class Shift:
    """One run of the command, from the first look at the modules to the last drain."""

    def __init__(self, wanted: Wanted, shown: Shown) -> None:
        self._wanted = wanted
        self._shown = shown
        self._told = asyncio.Event()
        self._changes = Changes(wanted.folder, self._told)
        self._node: Node | None = None
        self._starting: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Work until a signal comes."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            found = await self._found()
            if found is not None:
                await self._opened(found)
        finally:
            await self._changes.close()
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def _opened(self, found: Found) -> None:
        wanted = self._wanted
        async with connect(wanted.url, settings=wanted.settings) as node:
            self._node = node
            view = CrewView(node, self._shown, is_plain=wanted.is_plain)
            async with view:
                await self._work(node, view, found)

    async def _work(self, node: Node, view: CrewView, found: Found) -> None:
        wanted = self._wanted
        current: Found | None = found
        while not self._told.is_set():
            if current is not None:
                await self._start(node, view, current)
            if not wanted.reload:
                await self._told.wait()
                break
            changed = await self._changes.next()
            if not changed:
                break
            view.say("changed", ", ".join(changed))
            await self._stop_for_reload(node)
            current = await self._found_again(view)
        view.say("draining", f"at most {wanted.settings.queue.grace_s:g} s")
        await node.queue.stop_workers()
        view.say("stopped", "")

    async def _start(self, node: Node, view: CrewView, found: Found) -> None:
        plan, processes = self._wanted.plan, self._wanted.processes
        tasks = ", ".join(found.tasks) or "what is prepared"
        view.say("starting", f"{processes} process(es) for {tasks}")
        plan = replace(plan, output=view.output)
        try:
            async with asyncio.timeout(None) as self._starting:
                await node.queue.start_workers(processes, plan=plan)
        except TimeoutError:
            view.say("given up", "told to stop before the workers were ready")
        finally:
            self._starting = None

    async def _stop_for_reload(self, node: Node) -> None:
        loop = asyncio.get_running_loop()
        hurry = loop.call_later(RELOAD_GRACE_S, node.queue.hurry)
        try:
            await node.queue.stop_workers()
        finally:
            hurry.cancel()

    async def _found(self) -> Found | None:
        """What the modules declare. With --reload a fault waits for its mending."""
        changed: tuple[str, ...] = ("the first look",)
        while changed:
            try:
                return await self._look()
            except InvalidInput as error:
                if not self._wanted.reload:
                    raise
                Shown.complain(error)
            changed = await self._changes.next()
        return None

    async def _found_again(self, view: CrewView) -> Found | None:
        try:
            return await self._look()
        except QuorateError as error:
            view.complain(error)
            return None

    async def _look(self) -> Found:
        plan = self._wanted.plan
        found = await rehearse(plan.modules, plan.prepare)
        if not found.tasks and not plan.prepare:
            raise InvalidInput(
                f"{', '.join(plan.modules)} declares no task.",
                "A worker without handlers would only send tasks away.",
                "Declare them with @async_task, or register handlers in a function "
                "named by --prepare module:function.",
            )
        return found

    def _stop(self) -> None:
        if not self._told.is_set():
            self._told.set()
            if self._starting is not None:
                self._starting.reschedule(0.0)
        elif self._node is not None:
            self._node.queue.hurry()
