"""The same on RabbitMQ: who is measured there, on which node, and what is told of it.

One node for the whole sitting, on the server's processor. Each window has a virtual
host of its own, which is empty.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.campaign import Step, facts, until_quiet
from tests.bench.entries import Entry
from tests.bench.figures import Figures, table
from tests.bench.judging import Goal, Judge
from tests.bench.lab import SERVER_PROCESSOR, ChildFailed, Lab
from tests.bench.measuring import pin
from tests.bench.queue import roster, scenarios
from tests.bench.queue.roster import PEERS
from tests.bench.queue.scenarios import Scenario, Size
from tests.bench.results import Run
from tests.rabbit_server import RabbitServer
from tests.servers import MissingServer

HOME = "queue-rabbit"
RATE = "result.per_s"
HOSTS_AT_ONCE = 12
OUT, SINGLY, AT_ONCE, BULK = (
    f"rabbit-{what}" for what in ("out", "singly", "at-once", "bulk")
)

OURS = replace(roster.OURS, options={"tasks": 4_000})
TASKIQ = Entry(
    "taskiq-rabbit", "taskiq", f"{PEERS}.taskiq_rabbit", HOME, "taskiq-aio-pika",
    options={"tasks": 2_000},
)  # fmt: skip
TASKIQ_TUNED = replace(
    TASKIQ,
    key="taskiq-rabbit-tuned",
    title="taskiq, 100 fetched ahead",
    options={"tasks": 3_000, "prefetch": 100},
)
DRAMATIQ = Entry(
    "dramatiq-rabbit", "dramatiq, 8 threads, waits for no confirms",
    f"{PEERS}.dramatiq_rabbit", HOME, "dramatiq",
    options={"tasks": 2_500, "threads": 1},
)  # fmt: skip
DRAMATIQ_TUNED = replace(
    DRAMATIQ,
    key="dramatiq-rabbit-tuned",
    title="dramatiq, 32 threads, waits for confirms",
    options={"tasks": 1_500, "concurrency": 32, "threads": 1, "confirms": 1},
)
EVERYBODY = (OURS, TASKIQ, TASKIQ_TUNED, DRAMATIQ, DRAMATIQ_TUNED)


class Node:
    """A RabbitMQ with empty virtual hosts."""

    def __init__(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="quorate-bench-"))
        self.server = RabbitServer(directory)
        self.server.start()
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        atexit.register(self.server.stop)
        pin(self.server.pid, SERVER_PROCESSOR)
        self._hosts: deque[str] = deque()
        self._made = 0

    def fresh_url(self) -> str:
        """Where nothing is yet."""
        if not self._hosts:
            first, self._made = self._made + 1, self._made + HOSTS_AT_ONCE
            self.server.control("eval", _making(first, self._made))
            self._hosts.extend(f"w{n}" for n in range(first, self._made + 1))
        return f"{self.server.url}{self._hosts.popleft()}"


def _making(first: int, last: int) -> str:
    """Words of Erlang that make these hosts. One call for many, as each takes long."""
    everything = ", ".join(['<<".*">>'] * 3)
    return (
        "[begin V = list_to_binary([$w | integer_to_list(N)]), "
        'rabbit_vhost:add(V, <<"bench">>), '
        "rabbit_auth_backend_internal:set_permissions("
        f'<<"guest">>, V, {everything}, <<"bench">>) end '
        f"|| N <- lists:seq({first}, {last})]."
    )


@functools.cache
def node() -> Node:
    """The node of this sitting, started when it is first needed."""
    try:
        return Node()
    except MissingServer as error:
        raise ChildFailed(str(error)) from error


def throughput(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """Tasks that wait already, and one process that comes and does them."""

    def window() -> Run:
        url, pid = node().fresh_url(), node().server.pid
        tasks = round(entry.options["tasks"] * size.share)
        with lab.clients(entry, url=url) as (producer,):
            producer.ask("fill", within_s=scenarios.FILL_WITHIN_S, tasks=tasks)
        with lab.clients(entry, url=url) as children:
            return scenarios.drain(lab, entry, children, tasks, helpers=(pid,))

    return until_quiet(size, window)


def publishing(what: str, **order: Any) -> Scenario:
    """Tasks put in for a while."""

    def run(lab: Lab, entry: Entry, size: Size) -> list[Run]:
        with lab.clients(entry, url=node().fresh_url()) as (child,):
            child.ask("warm_up")

            def window() -> Run:
                with lab.watching([child], helpers=(node().server.pid,)) as seen:
                    result = child.ask(what, seconds=size.loop_s, **order)
                return facts(seen, result)

            return until_quiet(size, window)

    return run


LOOK = (OURS, TASKIQ)
PLAN: tuple[Step[Size], ...] = (
    Step(OUT, throughput, EVERYBODY, rounds=2, quick=LOOK),
    Step(SINGLY, publishing("singly"), EVERYBODY, rounds=2, quick=LOOK),
    Step(AT_ONCE, publishing("at_once"), (OURS, TASKIQ), rounds=2, quick=LOOK),
    Step(BULK, publishing("bulk", calls=scenarios.BULK_CALLS), (OURS,), rounds=2,
         quick=(OURS,)),
)  # fmt: skip


def _rates(least: float, *of: str) -> Callable[[Judge], tuple[str, bool]]:
    """Our rates in these scenarios, each at least so high."""

    def look(judge: Judge) -> tuple[str, bool]:
        rates = [judge.one(each, OURS.key, RATE) for each in of]
        return ", ".join(f"{rate:,.0f}/s" for rate in rates), min(rates) >= least

    return look


GOALS = (
    Goal(
        "RabbitMQ: confirmed publishes, 64 at once and 100 a call",
        "≥ 2,000/s",
        _rates(2_000, AT_ONCE, BULK),
        ((AT_ONCE, OURS.key), (BULK, OURS.key)),
    ),
    Goal(
        "RabbitMQ: tasks, one worker process",
        "≥ 2,000/s",
        _rates(2_000, OUT),
        ((OUT, OURS.key),),
    ),
)


def rows(figures: Figures) -> str:
    """The table."""
    heads = ("", "tasks/s", "client µs", "singly/s", "64 at once/s", "100 a call/s")
    return table(
        heads,
        [
            (
                figures.titled(OUT, entry.key, entry.title),
                figures.rate(OUT, entry.key),
                figures.mid(OUT, entry.key, "result.client_cpu_us", ",.0f"),
                *(figures.rate(what, entry.key) for what in (SINGLY, AT_ONCE, BULK)),
            )
            for entry in EVERYBODY
            if figures.told_of(OUT, entry.key)
        ],
    )
