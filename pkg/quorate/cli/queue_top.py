"""`quorate queue top`: the queues as they move."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quorate.core.errors import StoreError
from quorate.node import Node
from quorate.queue.model import PRIORITIES
from quorate.queue.sights import WorkerReport
from quorate.queue.views import QueueStats

from .shown import Shown, span

WIDEST_BAR = 24


@dataclass(frozen=True, slots=True)
class Glance:
    """All queues at one moment."""

    at: float
    stats: tuple[QueueStats, ...]
    crews: dict[str, tuple[WorkerReport, ...]]


def top(
    context: typer.Context,
    queues: Annotated[
        list[str] | None, typer.Argument(help="These queues; else all.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="So many looks; 0 goes on.")] = 0,
) -> None:
    """Depth, age, rate and workers of the queues, live. Ctrl-C ends it."""

    async def work(node: Node, shown: Shown) -> None:
        watch = Watch(node, tuple(queues or ()))
        if shown.as_json:
            await watch.lines(every, count)
        else:
            await watch.draw(every, count)

    try:
        context.obj.run(work)
    except KeyboardInterrupt:
        return


class Watch:
    """Looks again and again."""

    def __init__(self, node: Node, queues: tuple[str, ...]) -> None:
        self._node = node
        self._queues = queues

    async def lines(self, every_s: float, count: int) -> None:
        """One JSON document a look."""
        looks = 0
        while not count or looks < count:
            looks += 1
            glance = await self._look()
            print(json.dumps([facts(each) for each in glance.stats]), flush=True)
            if looks != count:
                await asyncio.sleep(every_s)

    async def draw(self, every_s: float, count: int) -> None:
        """A table that is drawn anew."""
        console = Console()
        looks = 0
        with Live(console=console, auto_refresh=False) as live:
            while not count or looks < count:
                looks += 1
                try:
                    picture = drawn(await self._look())
                except StoreError as error:
                    picture = Text(f"{error.what} {error.why}", style="red")
                live.update(picture, refresh=True)
                if looks != count:
                    await asyncio.sleep(every_s)

    async def _look(self) -> Glance:
        queue = self._node.queue
        names = self._queues or await queue.queues()
        stats = [await queue.stats(name) for name in names]
        crews = {name: await queue.crew(name) for name in names}
        return Glance(time.time(), tuple(stats), crews)


def facts(stats: QueueStats) -> dict[str, object]:
    """One queue for machines."""
    return {
        "queue": stats.queue,
        "ready": {lane.value: stats.ready[lane] for lane in PRIORITIES},
        "oldest_age_s": {lane.value: stats.oldest_age_s[lane] for lane in PRIORITIES},
        "running": sum(stats.running.values()),
        "scheduled": stats.scheduled,
        "parked": stats.parked,
        "dead": stats.dead,
        "workers": stats.workers,
        "done_per_s": round(stats.rate, 1),
        "paused": stats.paused,
        "shed_level": stats.shed_level,
    }


def drawn(glance: Glance) -> RenderableType:
    """All queues, a line for each lane that has something to show."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("queue", "lane"):
        table.add_column(name)
    for name in ("waiting", "oldest", "running"):
        table.add_column(name, justify="right")
    table.add_column("", min_width=WIDEST_BAR)
    for name in ("scheduled", "parked", "dead", "workers", "done/s"):
        table.add_column(name, justify="right")
    deepest = max([1, *(max(stats.ready.values()) for stats in glance.stats)])
    for stats in glance.stats:
        for lane in PRIORITIES:
            is_first = lane is PRIORITIES[0]
            table.add_row(
                _named(stats) if is_first else "",
                lane.value,
                f"{stats.ready[lane]:,}",
                _age(stats.oldest_age_s[lane]),
                f"{stats.running[lane]:,}",
                Text("█" * _bar(stats.ready[lane], deepest), style="cyan"),
                *(_rest(stats) if is_first else ()),
            )
    return Group(
        Text(time.strftime("%H:%M:%S", time.localtime(glance.at)), style="dim"),
        table if glance.stats else Text("No queue has been used.", style="dim"),
        crew(glance),
    )


def crew(glance: Glance) -> RenderableType:
    """Who works where."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("worker", "queue"):
        table.add_column(name)
    for name in ("running", "places", "done/s", "done", "retried", "dead"):
        table.add_column(name, justify="right")
    for queue, reports in glance.crews.items():
        for each in reports:
            table.add_row(
                each.process,
                queue,
                f"{each.running}",
                f"{each.places}",
                f"{each.rate:,.0f}",
                f"{each.done_total:,}",
                f"{each.retried_total:,}",
                f"{each.dead_total:,}",
            )
    if not table.rows:
        return Text("Nobody works.", style="yellow")
    return table


def _named(stats: QueueStats) -> Text:
    if stats.paused:
        return Text(f"{stats.queue} (paused)", style="yellow")
    if stats.shed_level:
        return Text(f"{stats.queue} (shed {stats.shed_level})", style="yellow")
    return Text(stats.queue)


def _rest(stats: QueueStats) -> tuple[str | Text, ...]:
    return (
        f"{stats.scheduled:,}",
        f"{stats.parked:,}",
        Text(f"{stats.dead:,}", style="red" if stats.dead else ""),
        f"{stats.workers}",
        f"{stats.rate:,.0f}",
    )


def _bar(depth: int, deepest: int) -> int:
    return -(-depth * WIDEST_BAR // deepest)


def _age(age_s: float | None) -> str:
    return "–" if age_s is None else span(age_s)
