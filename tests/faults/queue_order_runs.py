"""Fault runs about who is served when: poison, lanes, and workers that are sent home.

Q8, Q9 and Q12 of the plan.
"""

from __future__ import annotations

import asyncio

from tests.faults.lock_judge import percentile
from tests.faults.queue_crew import CALM, QueueCrew, QueueFleet, a_producer
from tests.faults.queue_judge import (
    attempts_counted,
    out_of_order,
    spread_ms,
    waits_s,
)
from tests.faults.queue_stage import dead_ids, judged, numbers_of, settled, short_tasks
from tests.faults.running import Run, none
from tests.faults.stage import Result, Stage

from quorate.core.clock import Chance
from quorate.queue.model import Task, TaskPriority
from quorate.testing.history import History
from quorate.testing.verdict import Verdict

POISONOUS = 20
NEIGHBOURS = 10_000
MOST_KILLS = 3
URGENT = 500
FEWEST_URGENT = 250
AGE_FLOOR_S = 1.0
HIGH_WITHIN_S = 0.25
LOW_WITHIN_S = 3 * AGE_FLOOR_S
WEIGHTS = (200, 200, 1)
DRAINS = 50
GRACE_S = 1.0
LONG_S = 2.5


async def q8_poison(stage: Stage) -> Result:
    """Some tasks kill whoever runs them: each ends among the dead letters after three
    deaths, and nobody who ran beside it does."""
    server = stage.server()
    crew = QueueCrew(concurrency=32, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    poisonous = stage.sized(POISONOUS, 2)
    tasks = stage.sized(NEIGHBOURS, 500)
    async with a_producer(stage, server.url) as producer, fleet.at_work():
        poison = producer.tasks(poisonous, "poison")
        ids = {str(task.id) for task in poison}
        make = short_tasks(producer, 0.02)
        async with fleet.tended():
            for each in poison:
                await producer.put(make(tasks // poisonous))
                await producer.put([each])
            over = await settled(producer, 180.0)
        await fleet.rest()
        dead = await dead_ids(producer)
    history = stage.history()
    kills: dict[str, int] = {}
    for run in history.of("run"):
        if run.args["id"] in ids:
            kills[run.args["id"]] = kills.get(run.args["id"], 0) + 1
    innocent = [task for task in dead if task not in ids]
    verdicts = judged(history, over, dead=dead) | {
        "poison": none("poison tasks at large", len(ids - dead.keys()), len(ids)),
        "kills": none(
            "poison tasks killed more than three",
            sum(count > MOST_KILLS for count in kills.values()),
            len(ids),
        ),
        "neighbours": none("innocent tasks dead", len(innocent), tasks),
    }
    numbers = numbers_of(history, fleet, dead) | {
        "workers killed by each poison task, most": max(kills.values(), default=0)
    }
    return stage.result("Q8", "tasks that kill their worker", verdicts, numbers)


async def q9_lanes(stage: Stage) -> Result:
    """Many low tasks wait, high ones come now and then, and a few normal ones: high
    goes first, low still moves, and each lane is first come, first served."""
    server = stage.server()
    crew = QueueCrew(
        processes=1,
        concurrency=4,
        config={
            "age_floor_s": AGE_FLOOR_S,
            "reserved_for_high": 0.0,
            "weights": WEIGHTS,
        },
        terms=CALM,
        bugs=stage.bugs,
    )
    fleet = QueueFleet(stage, crew, server.url)
    urgent = stage.sized(URGENT, FEWEST_URGENT)
    high: list[str] = []
    low: list[str] = []
    async with a_producer(stage, server.url) as producer:
        # Low ones first, then so many normal ones that by weight alone low would wait.
        payload = {"work_s": 0.004}
        few = producer.tasks(60, payload=payload, priority=TaskPriority.LOW)
        low += (str(task.id) for task in few)
        async with fleet.at_work():
            await producer.put(producer.tasks(600, payload=payload))
            await producer.put(few)
            for _ in range(urgent):
                one = producer.tasks(1, payload=payload, priority=TaskPriority.HIGH)
                high.append(str(one[0].id))
                await producer.put(one)
                if await producer.depth() < 300:
                    await producer.put(producer.tasks(100, payload=payload))
                await asyncio.sleep(0.02)
            over = await settled(producer)
            await fleet.rest()
    history = stage.history()
    waits = waits_s(history, high)
    low_waits = waits_s(history, low)
    slow = sum(wait > HIGH_WITHIN_S for wait in waits)
    starved = sum(wait > LOW_WITHIN_S for wait in low_waits)
    verdicts = judged(history, over, most_duplicates=0) | {
        "high": _most("high tasks were slow", slow, len(waits), 0.01),
        "low": none("low tasks starved", starved, len(low_waits)),
        "order": _most(
            "low tasks overtaken", out_of_order(history, low), len(low), 0.1
        ),
    }
    numbers = numbers_of(history, fleet) | {
        "wait of high, p50 / p99 / max": spread_ms(waits),
        "wait of low, p50 / p99 / max": spread_ms(low_waits),
        "high within 50 ms, p99": percentile(waits, 0.99) <= 0.05,
    }
    return stage.result("Q9", "lanes under load", verdicts, numbers)


def _most(what: str, count: int, judged_: int, share: float) -> Verdict:
    if count > share * judged_:
        return Verdict("invalid", judged_, f"{count} {what}")
    return Verdict("valid", judged_)


async def q12_sent_home(stage: Stage) -> Result:
    """Workers get SIGTERM under load: they finish or give back what they have, and
    some of it takes longer than their grace."""
    server = stage.server()
    crew = QueueCrew(config={"grace_s": GRACE_S}, terms=CALM, bugs=stage.bugs)
    fleet = QueueFleet(stage, crew, server.url)
    chance = Chance(stage.seed)
    drains = stage.sized(DRAINS, 4)
    took_s: list[float] = []
    bad_ends = 0
    async with a_producer(stage, server.url) as producer, fleet.at_work():

        def make(count: int) -> list[Task]:
            long = producer.tasks(1, payload={"work_s": LONG_S})
            short = producer.tasks(count - 1, payload={"work_s": 0.05})
            made = [*long, *short]
            chance.shuffle(made)
            return made

        enough = producer.feed_until(lambda: len(took_s) >= drains, make)
        feeding = asyncio.ensure_future(enough)
        names = list(fleet.workers)
        for number in range(drains):
            worker = fleet.workers[names[number % len(names)]]
            await asyncio.sleep(0.2)
            with stage.recorder.operation("nemesis", {"action": "term"}) as told:
                worker.terminate()
                drained = await worker.tells("drained", GRACE_S + 5.0)
                bad_ends += await worker.gone(GRACE_S + 5.0) != 0
                told.ok()
            took_s.append(float(str(drained["took_s"])))
            await worker.restart()
        await feeding
        over = await settled(producer)
        await fleet.rest()
    history = stage.history()
    late = sum(took > GRACE_S + 2.0 for took in took_s)
    verdicts = judged(history, over, most_duplicates=0) | {
        "in time": none("drained later than grace + 2 s", late, len(took_s)),
        "kindly": none("ended with an error", bad_ends, len(took_s)),
        "attempts": _attempts(history),
    }
    numbers = numbers_of(history, fleet) | {
        "took to drain, p50 / p99 / max": spread_ms(took_s)
    }
    title = "workers sent home (SIGTERM) under load"
    return stage.result("Q12", title, verdicts, numbers)


def _attempts(history: History) -> Verdict:
    counted = attempts_counted(history)
    return none("attempts counted", counted, len(history.of("complete")))


RUNS: dict[str, Run] = {
    "Q8": q8_poison,
    "Q9": q9_lanes,
    "Q12": q12_sent_home,
}
