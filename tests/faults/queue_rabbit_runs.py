"""Fault runs of the queue on RabbitMQ: what was confirmed outlives the broker's death.

The broker's half of Q6. A node is killed while tasks come in and are worked on; quorum
queues and confirms have to keep every task whose enqueueing was confirmed.
"""

from __future__ import annotations

import asyncio
import time

from tests.faults.queue_crew import CALM, Producer, QueueCrew, QueueFleet, a_producer
from tests.faults.queue_stage import judged, numbers_of, settled, short_tasks, strikes
from tests.faults.running import Run
from tests.faults.stage import Result, Stage
from tests.kept import Kept
from tests.rabbit_server import RabbitServer

from quorate.testing.hands import Doing

KILLS = 20
HOLD_S = 0.05
FIRST_TASKS = 200
SETTLED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.2


async def q6_rabbit_killed(stage: Stage) -> Result:
    """The node is killed (SIGKILL) and comes back with what it has written down."""
    server = RabbitServer(stage.directory / "rabbit")
    await asyncio.to_thread(server.start)

    async def kill(_: str) -> None:
        server.kill()

    async def heal(_: str) -> None:
        await Kept.restart(server)

    try:
        crew = QueueCrew(processes=2, terms=CALM, timeout_s=5.0, bugs=stage.bugs)
        fleet = QueueFleet(stage, crew, server.url)
        async with a_producer(stage, server.url, 5.0) as producer, fleet.at_work():
            make = short_tasks(producer, HOLD_S)
            # Queues that it has only just made, a killed node may forget.
            await producer.feed(FIRST_TASKS, make)
            await producer.drained(SETTLED_WITHIN_S)
            plan = strikes("kill", ("node",), 12.0, (0.2, 2.0))
            hands = {"kill": Doing(kill, heal)}
            harming = asyncio.ensure_future(
                stage.harm(stage.sized(KILLS, 1), plan, hands)
            )
            await producer.feed_until(harming.done, make)
            await harming
            over = await settled(producer, SETTLED_WITHIN_S)
            await all_done(producer, SETTLED_WITHIN_S)
            await fleet.rest()
    finally:
        await asyncio.to_thread(server.stop)
    history = stage.history()
    numbers = numbers_of(history, fleet) | {
        "calls that producers repeated": producer.repeated
    }
    verdicts = judged(history, over)
    # Tokens are of each process here: RabbitMQ cannot fence, as its page says.
    del verdicts["tokens"]
    title = "RabbitMQ killed (SIGKILL) and restarted"
    return stage.result("Q6 rabbit", title, verdicts, numbers)


async def all_done(producer: Producer, within_s: float) -> None:
    """Wait for the effects of all tasks; the judge tells which have none.

    An empty queue does not say it here: RabbitMQ does not count what a worker has
    fetched and not yet acknowledged.
    """
    ends_at = time.monotonic() + within_s
    while producer.completed() < producer.asked and time.monotonic() < ends_at:
        await asyncio.sleep(LOOK_EVERY_S)


RUNS: dict[str, Run] = {"Q6 rabbit": q6_rabbit_killed}
