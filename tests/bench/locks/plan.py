"""What is run of the locks, and in which order."""

from __future__ import annotations

from tests.bench.campaign import Step
from tests.bench.locks import scenarios as of
from tests.bench.locks.roster import (
    AIOREDLOCK,
    COREDIS,
    OURS,
    OURS_PLAIN,
    PLAIN,
    POTTERY,
    POTTERY_WIDE,
    PYTHON_REDIS_LOCK,
    REDIS_PY,
    REDIS_PY_EAGER,
    REDIS_PY_WIDE,
)
from tests.bench.locks.scenarios import Size

FAIR = (OURS, PYTHON_REDIS_LOCK)
CONTENDERS = (*FAIR, REDIS_PY, REDIS_PY_EAGER, POTTERY, COREDIS, AIOREDLOCK)
PERIOD_S, QUICK_PERIOD_S = 30.0, 5.0
"""Who does not poll asks again every 10 to 15 s; the window sees that twice."""


PLAN: tuple[Step[Size], ...] = (
    Step("bare", of.bare, (OURS, REDIS_PY), quick=(OURS, REDIS_PY)),
    Step("bare-32", of.bare_32, (OURS, REDIS_PY), quick=(OURS, REDIS_PY)),
    Step("paired", of.paired, (OURS,), quick=(OURS,)),
    Step(
        "uncontended", of.uncontended, (*PLAIN, OURS_PLAIN), against=OURS, quick=PLAIN
    ),
    Step("counted", of.counted_pairs, (OURS, *PLAIN), rounds=1, quick=(OURS, *PLAIN)),
    Step("distinct", of.distinct, PLAIN, against=OURS, quick=PLAIN),
    Step("reenter", of.reenter, (OURS,), quick=(OURS,)),
    Step("message", of.message, (OURS, REDIS_PY), quick=(OURS,)),
    Step("contention-2", of.contention(2), CONTENDERS),
    Step(
        "contention-10",
        of.contention(10),
        CONTENDERS,
        quick=(OURS, PYTHON_REDIS_LOCK, REDIS_PY),
    ),
    Step("counted-10", of.counted_contention, CONTENDERS, rounds=1, quick=(OURS,)),
    Step("line-up", of.line_up, FAIR, rounds=1, quick=(OURS,)),
    Step(
        "crowd",
        of.crowd,
        (OURS, AIOREDLOCK, PYTHON_REDIS_LOCK, REDIS_PY),
        quick=(OURS, REDIS_PY),
    ),
    Step("crowd", of.crowd, (REDIS_PY_WIDE, POTTERY_WIDE, COREDIS), rounds=1),
    Step("counted-crowd", of.counted_crowd, (OURS,), rounds=1, quick=(OURS,)),
    Step("idle", of.idle(PERIOD_S), FAIR, rounds=1),
    Step("idle", of.idle(), (REDIS_PY, POTTERY, COREDIS, AIOREDLOCK)),
    Step("idle", of.idle(QUICK_PERIOD_S), (), quick=(OURS,)),
    Step("holding", of.holding(), (OURS,), quick=(OURS,)),
    Step("holding-one", of.holding(1), (OURS,), rounds=1),
)
