"""The runs: what the processes of one entry are told to do, and what came of it.

Each function makes one run of one entry and returns its facts: what the processes
measured, what the server counted and how noisy it was meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.campaign import counted, facts, until_quiet
from tests.bench.entries import Entry
from tests.bench.lab import ChildProcess, Lab
from tests.bench.locks.handoffs import judge
from tests.bench.measuring import Overheard
from tests.bench.results import Run
from tests.bench.spread import median

from quorate.wire.scripts import load

HOLD_S = 0.001
HEAD_START_S = 0.3
SETTLE_S = 1.0
HOLDER_TTL_S = 120
MANY_TASKS = 1000
WAITERS = (10, 10)
TASKS = 32
TURNS = 5
PAIRS = 200
COUNTED_S = 1.0
RENEW = f"evalsha {load('quorate.wire', 'renew').sha}"


@dataclass(frozen=True, slots=True)
class Size:
    """How long, how often, and how many tries for so many quiet windows. Seconds."""

    rounds: int
    loop_s: float
    contend_s: float
    idle_s: float
    cap_s: float
    held: int
    held_s: float
    quiet: int
    tries: int


FULL = Size(3, 0.3, 1.0, 3.0, 20.0, 10_000, 12.0, quiet=3, tries=12)
QUICK = Size(1, 0.3, 1.0, 1.0, 3.0, 2_000, 5.0, quiet=1, tries=1)

Scenario = Callable[[Lab, Entry, Size], list[Run]]


def _loop(lab: Lab, entry: Entry, size: Size, what: str, **order: Any) -> list[Run]:
    """One warm process that does one thing for a while."""
    with lab.clients(entry) as (child,):
        child.ask("warm_up")

        def window() -> Run:
            with lab.watching([child]) as seen:
                result = child.ask(what, **order)
            return facts(seen, result)

        return until_quiet(size, window)


def uncontended(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "uncontended", seconds=size.loop_s)


def paired(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "paired", seconds=size.loop_s)


def counted_pairs(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """What a pair asks of the server, exactly."""
    with lab.clients(entry) as (child,):
        child.ask("warm_up")
        with lab.watching([child]) as seen:
            heard = Overheard(lab.server)
            pairs = child.ask("some_pairs", pairs=PAIRS)["pairs"]
            told = heard.stop()
        renewals = told.pop(RENEW, 0)
        result = {
            "requests_a_pair": sum(told.values()) / pairs,
            "commands_a_pair": seen.counts["commands"] / pairs,
            "renewals": renewals,
            "told": dict(told),
        }
        return [counted(seen, result)]


def bare(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "bare", seconds=size.loop_s, tasks=1)


def bare_32(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "bare", seconds=size.loop_s, tasks=TASKS)


def distinct(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "distinct", seconds=size.loop_s, tasks=TASKS)


def reenter(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    return _loop(lab, entry, size, "reenter", seconds=size.loop_s)


def crowd(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """A thousand at once. Who is stopped by the cap is not asked again."""

    def window() -> Run:
        with lab.clients(entry) as (child,):
            child.ask("warm_up")
            with lab.watching([child]) as seen:
                child.tell("crowd", tasks=MANY_TASKS, cap_s=size.cap_s)
                result = child.answer(size.cap_s + 30)
            return facts(seen, result)

    runs: list[Run] = []
    while not runs or (runs[-1]["why_not"] and len(runs) < size.tries):
        runs.append(window())
        if runs[-1]["result"]["seconds"] > size.cap_s / 4:
            break
    return runs


def counted_crowd(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    with lab.clients(entry) as (child,):
        child.ask("warm_up")
        with lab.watching([child]) as seen:
            heard = Overheard(lab.server)
            child.ask("crowd", tasks=MANY_TASKS, cap_s=size.cap_s)
            told = heard.stop()
        asked = sum(told.values()) - told.get(RENEW, 0)
        return [counted(seen, {"requests": asked})]


def message(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """From publishing in one process to hearing in another."""
    with lab.clients(entry, entry) as (sender, hearer):
        hearer.ask("subscribe")
        sender.ask("warm_up")

        def window() -> Run:
            with lab.watching([sender, hearer]) as seen:
                sender.ask("publish", seconds=size.contend_s)
            return facts(seen, hearer.ask("heard"))

        return until_quiet(size, window)


def contention(processes: int) -> Scenario:
    """So many processes want one lock and hold it for a millisecond."""

    def run(lab: Lab, entry: Entry, size: Size) -> list[Run]:
        with lab.clients(*[entry] * processes) as children:
            _warm_up(children)

            def window() -> Run:
                with lab.watching(children) as seen:
                    result = _contend(children, size.contend_s)
                result["commands_a_grant"] = seen.counts["commands"] / result["grants"]
                return facts(seen, result)

            return until_quiet(size, window)

    return run


def counted_contention(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """What a grant asks of the server, with ten processes."""
    with lab.clients(*[entry] * 10) as children:
        _warm_up(children)
        with lab.watching(children) as seen:
            heard = Overheard(lab.server)
            result = _contend(children, COUNTED_S)
            told = heard.stop()
    asked = sum(told.values()) - told.get(RENEW, 0)
    return [counted(seen, {"requests_a_grant": asked / result["grants"]})]


def _warm_up(children: Sequence[ChildProcess]) -> None:
    """Ten at a time would only wait for each other's processor: one by one."""
    for child in children:
        child.ask("warm_up")


def _contend(children: Sequence[ChildProcess], seconds: float) -> dict[str, Any]:
    start_at = time.monotonic() + HEAD_START_S
    for child in children:
        child.tell("contend", start_at=start_at, seconds=seconds, hold_s=HOLD_S)
    return judge([child.answer()["rows"] for child in children], seconds)


def line_up(lab: Lab, entry: Entry, size: Size) -> list[Run]:
    """One holds, nine wait; then each in turn. What does one return ask?"""
    with lab.clients(*[entry] * 10) as children:
        _warm_up(children)
        holder, *others = children
        each = []
        with lab.watching(children) as seen:
            for _ in range(TURNS):
                holder.ask("hold", names=["held"])
                for child in others:
                    child.tell("turn", hold_s=HOLD_S)
                time.sleep(HEAD_START_S)
                heard = Overheard(lab.server)
                holder.ask("let_go")
                for child in others:
                    child.answer()
                told = heard.stop()
                asked = sum(told.values()) - told.get(RENEW, 0)
                each.append(asked / len(children))
    return [counted(seen, {"requests_a_return": median(each), "turns": each})]


def idle(window_s: float | None = None) -> Scenario:
    """A hundred wait in ten processes for what nobody gives back."""

    def run(lab: Lab, entry: Entry, size: Size) -> list[Run]:
        processes, tasks = WAITERS
        seconds = window_s or size.idle_s
        with (
            lab.clients(entry, options={"ttl_s": HOLDER_TTL_S}) as (holder,),
            lab.clients(*[entry] * processes, flush=False) as children,
        ):
            holder.ask("hold", names=["held"])
            for child in children:
                child.ask("wait", tasks=tasks)
            time.sleep(SETTLE_S)
            with lab.watching([holder, *children]) as seen:
                time.sleep(size.idle_s)
            heard = Overheard(lab.server)
            time.sleep(seconds)
            told = heard.stop()
        beyond = {what: number for what, number in told.items() if what != RENEW}
        result = {
            "seconds": seconds,
            "requests_per_s": sum(told.values()) / seconds,
            "beyond_renewal_per_s": sum(beyond.values()) / seconds,
            "beyond_renewal": beyond,
            "server_cpu_pct": 100 * seen.counts["cpu_s"] / size.idle_s,
        }
        return [counted(seen, result)]

    return run


def holding(locks: int | None = None) -> Scenario:
    """Many locks are held and nothing else happens."""

    def run(lab: Lab, entry: Entry, size: Size) -> list[Run]:
        number = locks or size.held
        with lab.clients(entry) as (child,):
            child.ask("hold", names=[f"held-{one}" for one in range(number)])
            time.sleep(SETTLE_S)
            with lab.watching([child]) as seen:
                heard = Overheard(lab.server)
                cpu_s = child.ask("cpu")["cpu_s"]
                time.sleep(size.held_s)
                cpu_s = child.ask("cpu")["cpu_s"] - cpu_s
                told = heard.stop()
            result = {
                "locks": number,
                "seconds": size.held_s,
                "client_cpu_pct": 100 * cpu_s / size.held_s,
                "server_cpu_pct": 100 * seen.counts["cpu_s"] / size.held_s,
                "renewals": told.get(RENEW, 0),
                "other_requests": sum(told.values()) - told.get(RENEW, 0),
            }
            return [counted(seen, result)]

    return run
