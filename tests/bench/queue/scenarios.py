"""The runs: what the processes of one entry are told to do, and what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.campaign import counted, facts, until_quiet
from tests.bench.delay_proxy import MissingCompiler, delayed
from tests.bench.entries import Entry
from tests.bench.lab import (
    CLIENT_PROCESSOR,
    SERVER_PROCESSOR,
    ChildFailed,
    ChildProcess,
    Lab,
)
from tests.bench.measuring import Overheard
from tests.bench.results import Run

ROUND_TRIP_S = 0.002
LOOK_EVERY_S = 0.05
WORK_WITHIN_S = 25.0
FILL_WITHIN_S = 60.0
WARM_SHARE = 10
BURN_S = 0.0002
WORKING = 4_000
SETTLE_S = 1.5
DRIP_EVERY_S = 0.02
BULK_CALLS = 4
MESSAGES = ("publish", "spublish")


@dataclass(frozen=True, slots=True)
class Size:
    """How long, how often, and how many tries for so many quiet windows. Seconds.

    `share` of the tasks that an entry usually gets.
    """

    rounds: int
    loop_s: float
    drips: int
    idle_s: float
    share: float
    quiet: int
    tries: int


FULL = Size(3, 0.4, 150, 5.0, 1.0, quiet=1, tries=4)
QUICK = Size(1, 0.3, 60, 2.0, 0.5, quiet=1, tries=1)

Scenario = Callable[[Lab, Entry, Size], list[Run]]


# -- tasks out -------------------------------------------------------------------------


def throughput(workers: int, burn_s: float = 0.0) -> Scenario:
    """Tasks that wait already, and processes that come and do them.

    One has a processor for itself; two share both with the server. Tasks may need the
    processor for a while.
    """

    def run(lab: Lab, entry: Entry, size: Size) -> list[Run]:
        def window() -> Run:
            tasks = _fill(lab, entry, size, WORKING if burn_s else None)
            processor = CLIENT_PROCESSOR if workers == 1 else None
            with lab.clients(
                *[entry] * workers, flush=False, processor=processor
            ) as children:
                return drain(lab, entry, children, tasks, burn_s=burn_s)

        return until_quiet(size, window)

    return run


def over_a_distance(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """The same for one worker with a longer way to its server."""

    def window() -> Run:
        tasks = _fill(lab, entry, size)
        with (
            _proxy(lab) as (url, pid),
            lab.clients(entry, flush=False, url=url) as children,
        ):
            return drain(lab, entry, children, tasks, helpers=(pid,))

    return until_quiet(size, window)


def _fill(lab: Lab, entry: Entry, size: Size, count: int | None = None) -> int:
    tasks = round((count or entry.options["tasks"]) * size.share)
    with lab.clients(entry) as (producer,):
        producer.ask("fill", within_s=FILL_WITHIN_S, tasks=tasks)
    return tasks


@contextlib.contextmanager
def _proxy(lab: Lab) -> Iterator[tuple[str, int]]:
    try:
        with delayed(lab.server.port, ROUND_TRIP_S, SERVER_PROCESSOR) as proxy:
            yield proxy.url, proxy.pid
    except MissingCompiler as error:
        raise ChildFailed(str(error)) from error


def drain(
    lab: Lab,
    entry: Entry,
    children: Sequence[ChildProcess],
    tasks: int,
    helpers: Sequence[int] = (),
    burn_s: float = 0.0,
) -> Run:
    """Let the children do all of these tasks."""
    warm = max(1, tasks // WARM_SHARE // len(children))
    alone: Sequence[int] | None
    alone = None
    if len(children) > 1:
        alone = ()
    elif "threads" in entry.options:
        alone = (lab.server.pid,)  # its threads wait for each other
    with lab.watching(children, helpers=helpers, alone=alone) as seen:
        for child in children:
            child.tell("work", warm=warm, burn_s=burn_s)
        for child in children:
            child.answer()
        done, ends_at = 0, time.monotonic() + WORK_WITHIN_S
        while done < tasks and time.monotonic() < ends_at:
            time.sleep(LOOK_EVERY_S)
            done = sum(child.ask("count")["count"] for child in children)
    timed = [child.ask("timed") for child in children]
    return facts(seen, _summed(timed, done))


def _summed(timed: Sequence[dict[str, Any]], done: int) -> dict[str, Any]:
    """The rate of all together; who did hardly anything is part of it."""
    part = [row for row in timed if row["tasks"] > 0 and row["began"]]
    if not part:
        raise ChildFailed("no task was done")
    took = max(row["ended"] for row in part) - min(row["began"] for row in part)
    tasks = sum(row["tasks"] for row in part)
    return {
        "per_s": tasks / took,
        "n": done,
        "client_cpu_us": sum(row["cpu_s"] for row in part) / tasks * 1e6,
    }


# -- tasks in --------------------------------------------------------------------------


def singly(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _enqueue(lab, entry, size, "singly")


def at_once(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _enqueue(lab, entry, size, "at_once")


def bulk(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _enqueue(lab, entry, size, "bulk", calls=BULK_CALLS)


def _enqueue(lab: Lab, entry: Entry, size: Size, what: str, **order: Any) -> list[Run]:
    with lab.clients(entry) as (child,):
        child.ask("warm_up")

        def window() -> Run:
            with lab.watching([child]) as seen:
                result = child.ask(what, seconds=size.loop_s, **order)
            return facts(seen, result)

        return until_quiet(size, window)


# -- an idle worker --------------------------------------------------------------------


def pickup(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """A task now and then; how long until its handler is called?"""
    with lab.clients(entry, entry) as (producer, worker):
        worker.ask("work")
        producer.ask("drip", tasks=10, every_s=DRIP_EVERY_S)
        time.sleep(SETTLE_S)

        def window() -> Run:
            worker.ask("forget")
            with lab.watching([producer, worker]) as seen:
                producer.ask("drip", tasks=size.drips, every_s=DRIP_EVERY_S)
                time.sleep(SETTLE_S)
            return facts(seen, worker.ask("late"))

        return until_quiet(size, window)


def idle(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """What a worker asks for that has nothing to do."""
    with lab.clients(entry) as (producer,):
        producer.ask("fill", within_s=FILL_WITHIN_S, tasks=20)
        with lab.clients(entry, flush=False) as (worker,):
            worker.ask("work")
            time.sleep(SETTLE_S)
            producer.end()
            with lab.watching([worker]) as seen:
                heard = Overheard(lab.server)
                time.sleep(size.idle_s)
                told = heard.stop()
    requests = sum(told.values())
    result = {
        "requests_per_s": requests / size.idle_s,
        "server_cpu_pct": 100 * seen.counts["cpu_s"] / size.idle_s,
        "told": dict(told),
    }
    return [counted(seen, result)]
