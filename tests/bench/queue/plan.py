"""What is run of the queues, and in which order."""

from __future__ import annotations

from tests.bench.campaign import Step
from tests.bench.queue import scenarios as of
from tests.bench.queue.roster import (
    BEST,
    DRAMATIQ,
    FORKED,
    OURS,
    OURS_WIDE,
    PLAIN,
    SAQ,
    SAQ_TUNED,
    TASKIQ_LIST,
    TASKIQ_STREAM,
    TUNED,
    WITH_ASYNCIO,
    WITH_BULK,
    among,
)
from tests.bench.queue.scenarios import Size

A_FEW = (OURS, TASKIQ_STREAM, SAQ)
WORKING = (OURS, TASKIQ_STREAM, SAQ_TUNED)

PLAN: tuple[Step[Size], ...] = (
    Step(
        "one",
        of.throughput(1),
        among((*PLAIN, *FORKED, *TUNED, OURS_WIDE)),
        rounds=2,
        quick=(OURS, TASKIQ_STREAM, TASKIQ_LIST, SAQ_TUNED),
    ),
    Step("two", of.throughput(2), among(BEST), rounds=2, quick=(OURS, TASKIQ_STREAM)),
    Step(
        "one-busy",
        of.throughput(1, of.BURN_S),
        WORKING,
        rounds=2,
        quick=(OURS,),
    ),
    Step(
        "two-busy",
        of.throughput(2, of.BURN_S),
        WORKING,
        rounds=2,
        quick=(OURS,),
    ),
    Step(
        "distance",
        of.over_a_distance,
        among(BEST),
        rounds=2,
        quick=(OURS, TASKIQ_STREAM),
    ),
    Step("singly", of.singly, among(PLAIN), quick=(OURS, DRAMATIQ, SAQ)),
    Step("at-once", of.at_once, WITH_ASYNCIO, quick=A_FEW),
    Step("bulk", of.bulk, WITH_BULK, quick=WITH_BULK[:2]),
    Step("pickup", of.pickup, (OURS, *PLAIN), rounds=2, quick=(OURS, TASKIQ_LIST)),
    Step("idle", of.idle, (OURS, *PLAIN), rounds=1, quick=(OURS, TASKIQ_LIST)),
)
