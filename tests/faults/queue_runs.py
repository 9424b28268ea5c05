"""The fault runs of the queue, Q1 to Q5: workers are killed, stopped and stalled.

Each takes a stage and returns its result. The sizes are those of a full run at scale
1.0, chosen so that all runs of the queue together take about twenty minutes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faults.queue_crew import CONCURRENCY, QueueCrew, QueueFleet, a_producer
from tests.faults.queue_judge import (
    overlaps,
    results_recorded,
    set_aside_too_soon,
)
from tests.faults.queue_stage import (
    dead_ids,
    judged,
    numbers_of,
    settled,
    short_tasks,
    strikes,
)
from tests.faults.running import Run, none
from tests.faults.stage import Result, Stage

from quorate.core.clock import Chance
from quorate.core.errors import QuorateError
from quorate.queue.model import QueueConfig, Task, TaskPriority
from quorate.testing.hands import Killing, Pausing
from quorate.testing.verdict import Verdict

TASKS = 100_000
KILLS = 200
DEATHS = 200
STOPS = 40
STALLS = 30
LONG_TASKS = 60
MOST_AT_ONCE = 24
PRIORITIES = (TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW)
DYING_WITHIN_S = 840.0


async def q1_killed_workers(stage: Stage) -> Result:
    """Workers die by SIGKILL at any moment, while tasks of all lanes come in."""
    server = stage.server()
    fleet = QueueFleet(stage, QueueCrew(bugs=stage.bugs), server.url)
    kills, tasks = stage.sized(KILLS, 4), stage.sized(TASKS, 1_000)
    chance = Chance(stage.seed)
    async with a_producer(stage, server.url) as producer, fleet.at_work():

        def make(count: int) -> list[Task]:
            priority = chance.choice(PRIORITIES)
            payload = {"work_s": 0.08}
            return producer.tasks(count, payload=payload, priority=priority)

        plan = strikes("kill", fleet.workers, 0.75, (0.05, 0.2))
        hands = {"kill": Killing(fleet.workers)}
        harming = asyncio.ensure_future(stage.harm(kills, plan, hands))
        await producer.feed_until(
            lambda: harming.done() and producer.asked >= tasks, make
        )
        await harming
        over = await settled(producer)
        await fleet.rest()
        dead = await dead_ids(producer)
    history = stage.history()
    most = len(history.of("nemesis")) * CONCURRENCY
    verdicts = judged(history, over, most_duplicates=most, dead=dead) | {
        "dead letters": set_aside_too_soon(history, dead, QueueConfig().crash_budget),
    }
    numbers = numbers_of(history, fleet, dead)
    numbers["dead for having had three workers killed under them"] = len(dead)
    return stage.result(
        "Q1", "workers killed (SIGKILL) at any moment", verdicts, numbers
    )


def q2_killed_at(point: str, chance: float, name: str = "act") -> Run:
    """Workers that kill themselves, always at the same point between two steps."""

    async def run(stage: Stage) -> Result:
        server = stage.server()
        crew = QueueCrew(
            deadly=(point, chance),
            # None of the dead letters is forgotten before it is counted.
            config={"attempts": 3, "dead_letters_max": 1_000_000},
            bugs=stage.bugs,
        )
        fleet = QueueFleet(stage, crew, server.url)
        deaths = stage.sized(DEATHS, 4)
        payload: dict[str, Any] = {"work_s": 0.002}
        if name == "fail":
            payload = {"times": 9 if "dead" in point else 1}
        async with a_producer(stage, server.url) as producer, fleet.at_work():

            def make(count: int) -> list[Task]:
                return producer.tasks(count // 2, name, payload=payload)

            async with fleet.tended(), asyncio.timeout(DYING_WITHIN_S):
                await producer.feed_until(lambda: fleet.deaths >= deaths, make)
            over = await settled(producer)
            await fleet.rest()
            dead = await dead_ids(producer)
        history = stage.history()
        killed_by = [task for task, reason in dead.items() if reason == "poison"]
        most = fleet.deaths * CONCURRENCY + len(fleet.workers) * CONCURRENCY
        verdicts = judged(history, over, most_duplicates=most, dead=dead) | {
            "dead letters": _twice(history, dead),
        }
        numbers = numbers_of(history, fleet, dead)
        numbers["dead for having killed three workers"] = len(killed_by)
        return stage.result(f"Q2 {point}", f"killed {point}", verdicts, numbers)

    return run


def _twice(history: Any, dead: dict[str, str]) -> Verdict:
    """Nothing is both done and, as having always failed, among the dead."""
    done = {op.args["id"] for op in history.of("complete")}
    both = [task for task, why in dead.items() if why == "exhausted" and task in done]
    return none("both done and dead", len(both), len(dead))


async def q3_stopped_workers(stage: Stage) -> Result:
    """Workers stand still by SIGSTOP longer than their session, and go on.

    What they then write comes too late, on the resource and on the server.
    """
    server = stage.server()
    crew = QueueCrew(concurrency=8, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    ttl_s = crew.terms.ttl_s
    stops = stage.sized(STOPS, 3)
    async with a_producer(stage, server.url) as producer, fleet.at_work():

        def make(count: int) -> list[Task]:
            return producer.tasks(count // 10, "add", payload={"work_s": 0.3})

        plan = strikes("stop", fleet.workers, 0.4 * ttl_s, (1.1 * ttl_s, 2 * ttl_s))
        harming = asyncio.ensure_future(
            stage.harm(stops, plan, {"stop": Pausing(fleet.workers)})
        )
        await producer.feed_until(harming.done, make)
        await harming
        over = await settled(producer)
        await fleet.rest()
        history = stage.history()
        ids = [op.args["id"] for op in history.of("enqueue")]
        results = {task: await _result(producer.queue, task) for task in ids}
        dead = await dead_ids(producer)
    verdicts = judged(history, over, dead=dead) | {
        "dead letters": set_aside_too_soon(history, dead, QueueConfig().crash_budget),
        "adds": none("adds lost", stage.lost_adds(), len(ids)),
        "results": results_recorded(history, results),
    }
    numbers = numbers_of(history, fleet, dead)
    numbers["two attempts at once (allowed: the older one is refused)"] = len(
        overlaps(history)
    )
    title = "workers stopped (SIGSTOP) beyond their session"
    return stage.result("Q3", title, verdicts, numbers)


async def _result(queue: Any, task_id: str) -> int | None:
    try:
        return int(await queue.result(task_id, wait_s=0.0))
    except QuorateError:
        return None


async def q4_long_tasks(stage: Stage) -> Result:
    """Tasks take ten times as long as a session lasts without renewal, beside busy
    ones: a live worker keeps what it has, and nobody else begins with it."""
    server = stage.server()
    crew = QueueCrew(concurrency=8, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    long = stage.sized(LONG_TASKS, 4)
    work_s = 10 * crew.terms.ttl_s if stage.scale >= 0.2 else 2.5 * crew.terms.ttl_s
    async with a_producer(stage, server.url) as producer, fleet.at_work():
        left = long
        while left > 0:
            some = min(MOST_AT_ONCE, left)
            left -= some
            await producer.put(producer.tasks(some, payload={"work_s": work_s}))
            passing = asyncio.ensure_future(asyncio.sleep(work_s))
            make = short_tasks(producer, 0.01)
            await producer.feed_until(passing.done, make)
        over = await settled(producer)
        await fleet.rest()
    history = stage.history()
    at_same_time = overlaps(history)
    verdicts = judged(history, over, most_duplicates=0) | {
        "alone": none("tasks ran twice at once", len(at_same_time), long)
    }
    numbers = numbers_of(history, fleet) | {
        "long tasks": f"{long} of {work_s:g} s, session {crew.terms.ttl_s:g} s"
    }
    return stage.result("Q4", "tasks of ten sessions' length", verdicts, numbers)


async def q5_stalled_loops(stage: Stage) -> Result:
    """Tasks block their event loop: within what the keeper covers, and beyond it."""
    server = stage.server()
    crew = QueueCrew(concurrency=8, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    terms = crew.terms
    within_s = terms.max_stall_s * 0.5
    beyond_s = terms.max_stall_s + terms.ttl_s + 0.5
    stalls = stage.sized(STALLS, 4)
    async with a_producer(stage, server.url) as producer, fleet.at_work():
        short = producer.tasks(stalls, "block", payload={"work_s": within_s})
        await producer.put(short)
        over = await settled(producer)
        # A live worker may not lose a task to a stall that the keeper covers.
        calm = len(overlaps(stage.history()))
        for _ in range(max(1, stalls // 4)):
            # One that stalls too long loses all it has: its neighbours as well.
            long = producer.tasks(1, "block", payload={"work_s": beyond_s})
            await producer.put(long)
            await producer.put(producer.tasks(20, payload={"work_s": 0.05}))
            over = await settled(producer, 6 * beyond_s + 30.0)
        await fleet.rest()
    history = stage.history()
    verdicts = judged(history, over) | {
        "alone": none("ran twice at once in a short stall", calm, len(short))
    }
    numbers = numbers_of(history, fleet) | {
        "two attempts at once in long stalls": len(overlaps(history)) - calm,
        "stalls": f"{within_s:g} s and {beyond_s:g} s, session {terms.ttl_s:g} s",
    }
    return stage.result("Q5", "event loops blocked by tasks", verdicts, numbers)


Q2_POINTS: tuple[tuple[str, float, str], ...] = (
    ("queue.after_claim_before_run", 0.01, "act"),
    ("during a run", 0.01, "act"),
    ("queue.after_run_before_settle", 0.01, "act"),
    ("before done is sent", 0.1, "act"),
    ("before done is answered", 0.1, "act"),
    ("before claims are heard of", 0.1, "act"),
    ("before retry is sent", 0.1, "fail"),
    ("before retry is answered", 0.1, "fail"),
    ("before dead is sent", 0.1, "fail"),
    ("before dead is answered", 0.1, "fail"),
)

RUNS: dict[str, Run] = {
    "Q1": q1_killed_workers,
    **{f"Q2 {point[0]}": q2_killed_at(*point) for point in Q2_POINTS},
    "Q3": q3_stopped_workers,
    "Q4": q4_long_tasks,
    "Q5": q5_stalled_loops,
}
