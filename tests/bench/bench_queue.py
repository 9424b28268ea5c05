"""Quorate's queue beside its peers, on this machine, in one sitting.

    make bench-queue                 all of it, about ten minutes; writes the report
    make bench-queue ARGS=--quick    a look, about a minute; writes no report
    make bench-queue ARGS="--only one --only distance"    just these; writes no report

Ours and the peers take turns on one private server, and on one private RabbitMQ.
Windows that others disturbed are thrown away. Raw results, tables and a plot go to
docs/benchmarks/.
"""

from __future__ import annotations

import sys

from tests.bench.queue import rabbit
from tests.bench.queue.goals import GOALS
from tests.bench.queue.page import PANELS, SHORT, TOLD, blocks
from tests.bench.queue.plan import PLAN
from tests.bench.queue.roster import ARQ_HOME, HOME, PLAIN, SAQ_HOME
from tests.bench.queue.scenarios import FULL, QUICK
from tests.bench.sitting import Subject, hold

QUEUE = Subject(
    name="queue",
    requirements={
        HOME: "requirements-queue.txt",
        SAQ_HOME: "requirements-queue-saq.txt",
        ARQ_HOME: "requirements-queue-arq.txt",
        rabbit.HOME: "requirements-queue-rabbit.txt",
    },
    program="tests.bench.queue.child",
    plan=(*PLAN, *rabbit.PLAN),
    full=FULL,
    quick=QUICK,
    minutes=14.0,
    goals=(*GOALS, *rabbit.GOALS),
    blocks=blocks,
    told=TOLD,
    distributions=[
        *(entry.distribution for entry in (*PLAIN, *rabbit.EVERYBODY)),
        *("redis", "aio-pika", "pika"),
    ],
    panels=PANELS,
    short=SHORT,
    drawer=HOME,
)

if __name__ == "__main__":
    sys.exit(hold(QUEUE, __doc__))
