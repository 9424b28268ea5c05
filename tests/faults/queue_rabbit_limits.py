"""Fault runs of the queue on RabbitMQ: what a broker refuses, and what it takes away.

The broker's half of Q11: a node without room on its disk takes nothing in. And Q13: it
takes a delivery away that was not acknowledged within its `consumer_timeout`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator

from tests.faults.queue_bugs import plant
from tests.faults.queue_crew import (
    CALM,
    Producer,
    QueueCrew,
    QueueFleet,
    a_producer,
)
from tests.faults.queue_rabbit_runs import LOOK_EVERY_S, all_done
from tests.faults.queue_stage import dead_ids, judged, numbers_of, settled, short_tasks
from tests.faults.running import Run, none
from tests.faults.stage import Result, Stage
from tests.rabbit_server import RabbitServer

from quorate.core.errors import OutcomeUnknown, StoreUnavailable
from quorate.queue.model import Task
from quorate.testing.history import History
from quorate.testing.verdict import Verdict

TIMES = 4
TASKS = 100
REFUSED_CALLS = 4
TIMEOUT_S = 2.0
LATER_S = 1.5
"""So much longer than its deadline a refused call may take on a busy machine."""

WORKED_OFF_S = 30.0
SETTLED_WITHIN_S = 60.0
ROOM_LACKING = "100000GB"
ROOM = "10MB"

TAKEN_AFTER_S = 5.0
LONG_S = 12.0
MIDDLE_S = 1.0
PLACES = 4
LONG_TASKS = 8
FIRST_WITHIN_S = 40.0
SECOND_WAVE = 24


@contextlib.asynccontextmanager
async def a_node(stage: Stage, options: str = "") -> AsyncIterator[RabbitServer]:
    server = RabbitServer(stage.directory / "rabbit", options)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


async def q11_full_disk(stage: Stage) -> Result:
    """The node raises its disk alarm: producers are told so in time, workers go on."""
    for bug in stage.bugs:
        plant(bug)
    answers: Counter[str] = Counter()
    took_s: list[float] = []
    not_done = 0
    times = stage.sized(TIMES, 1)
    async with a_node(stage) as server:
        crew = QueueCrew(processes=2, terms=CALM)
        fleet = QueueFleet(stage, crew, server.url)
        async with a_producer(stage, server.url, TIMEOUT_S) as producer:
            for _ in range(times):
                await producer.feed(TASKS, short_tasks(producer, 0.01))
                await asyncio.to_thread(_disk, server, ROOM_LACKING)
                with stage.recorder.operation("nemesis", {"action": "full"}) as full:
                    for _ in range(REFUSED_CALLS):
                        said, lasted_s = await _asked_once(producer)
                        answers[said] += 1
                        took_s.append(lasted_s)
                    full.ok()
                async with fleet.at_work():
                    # What was in before is worked off although nothing may come in.
                    not_done += await _left(producer, WORKED_OFF_S)
                    await asyncio.to_thread(_disk, server, ROOM)
                    over = await settled(producer, SETTLED_WITHIN_S)
                    await all_done(producer, SETTLED_WITHIN_S)
                    await fleet.rest()
    history = stage.history()
    late = sum(each > TIMEOUT_S + LATER_S for each in took_s)
    verdicts = judged(history, over) | {
        "told": none("calls that were told all is well", answers["well"], len(took_s)),
        "in time": none("refusals came late", late, len(took_s)),
        "work": none("tasks waited for room on the disk", not_done, times * TASKS),
    }
    del verdicts["tokens"]  # as in Q6 on RabbitMQ
    numbers = numbers_of(history, fleet) | {
        "answers while the disk was full": ", ".join(
            f"{said} {count}" for said, count in sorted(answers.items())
        ),
        "longest wait for such an answer": f"{max(took_s):.2f} s",
    }
    title = "RabbitMQ without room on its disk"
    return stage.result("Q11 rabbit", title, verdicts, numbers)


def _disk(server: RabbitServer, least_free: str) -> None:
    server.control("set_disk_free_limit", least_free)


async def _asked_once(producer: Producer) -> tuple[str, float]:
    """Try to put some in: what was said, and after how long."""
    tasks = producer.tasks(5, payload={"work_s": 0.0})
    asked = [producer._noted(task) for task in tasks]
    began = time.monotonic()
    try:
        await producer.queue.enqueue_many(tasks)
    except StoreUnavailable as error:
        producer.asked -= len(tasks)
        for each in asked:
            each.fail(str(error))
        said = "certainly not in"
    except OutcomeUnknown:
        # Open: it may come when there is room again, or not.
        producer.asked -= len(tasks)
        said = "perhaps in"
    else:
        for each in asked:
            each.ok()
        said = "well"
    return said, time.monotonic() - began


async def _left(producer: Producer, within_s: float) -> int:
    """How many tasks still have had no effect after so long."""
    await all_done(producer, within_s)
    return max(0, producer.asked - producer.completed())


async def q13_consumer_timeout(stage: Stage) -> Result:
    """The broker takes deliveries away that are out for longer than it allows.

    Tasks which need longer cannot be done there: each has to end among the dead
    letters by its time, not as poison; the others must not suffer for long.
    """
    options = f"-rabbit consumer_timeout {TAKEN_AFTER_S * 1000:.0f}"
    options += " -rabbit channel_tick_interval 500"  # it looks so often
    config = {"attempts": 1}
    crew = QueueCrew(
        processes=2, concurrency=PLACES, terms=CALM, config=config, bugs=stage.bugs
    )
    async with a_node(stage, options) as server:
        fleet = QueueFleet(stage, crew, server.url)
        async with a_producer(stage, server.url, 5.0) as producer, fleet.at_work():
            first = await _wave(producer, LONG_TASKS, 0)
            is_learned = await _over(producer, first, FIRST_WITHIN_S)
            since = len(stage.history().of("run"))
            second, long = stage.sized(SECOND_WAVE, 4), list[str]()
            if is_learned:
                long = await _wave(producer, second, 4 * second)
                await _over(producer, long, SETTLED_WITHIN_S)
            await all_done(producer, SETTLED_WITHIN_S)
            over = await settled(producer, SETTLED_WITHIN_S)
            await fleet.rest()
            dead = await dead_ids(producer)
    history = stage.history()
    poison = sum(reason == "poison" for reason in dead.values())
    verdicts = judged(history, over, dead=dead) | {
        "long": _as_expected({*first, *long}, dead),
        "poison": none("tasks blamed for deaths", poison, len(dead)),
        "then": none("tasks were taken away again", _again(history, since), second),
    }
    del verdicts["tokens"]
    numbers = numbers_of(history, fleet, dead) | {
        "reasons of the dead": ", ".join(
            f"{reason} {count}" for reason, count in Counter(dead.values()).items()
        ),
    }
    title = f"RabbitMQ takes deliveries away after {TAKEN_AFTER_S:g} s"
    return stage.result("Q13", title, verdicts, numbers)


async def _wave(producer: Producer, long: int, middle: int) -> list[str]:
    """Tasks that take too long, and some that do not. The ids of the former."""
    tasks: list[Task] = producer.tasks(long, payload={"work_s": LONG_S})
    ids = [str(task.id) for task in tasks]
    producer.asked -= long  # they are not to have an effect
    tasks += producer.tasks(middle, payload={"work_s": MIDDLE_S})
    await producer.put(tasks)
    return ids


async def _over(producer: Producer, ids: list[str], within_s: float) -> bool:
    """Wait until all of these are dead letters, and none as poison."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        dead = await dead_ids(producer)
        if "poison" in dead.values():
            return False
        if {*ids} <= {*dead}:
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def _as_expected(long: set[str], dead: dict[str, str]) -> Verdict:
    wrong = len(long ^ {*dead})
    return none("tasks dead that should not be, or the other way", wrong, len(long))


def _again(history: History, since: int) -> int:
    """Tasks of which more than one attempt began after so many had begun."""
    began = Counter(run.args["id"] for run in history.of("run")[since:])
    return sum(count > 1 for count in began.values())


RUNS: dict[str, Run] = {
    "Q11 rabbit": q11_full_disk,
    "Q13": q13_consumer_timeout,
}
