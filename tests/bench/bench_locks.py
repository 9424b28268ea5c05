"""Quorate's locks beside their peers, on this machine, in one sitting.

    make bench-locks                 all of it, about ten minutes; writes the report
    make bench-locks ARGS=--quick    a look, about a minute; writes no report
    make bench-locks ARGS="--tries 30 --minutes 30"    on a machine that is never quiet

Ours and the peers take turns on one private server. Windows that others disturbed
are thrown away. Raw results, tables and a plot go to docs/benchmarks/.
"""

from __future__ import annotations

import sys

from tests.bench.locks.bars import PANELS, SHORT
from tests.bench.locks.goals import GOALS
from tests.bench.locks.page import TOLD, blocks
from tests.bench.locks.plan import PLAN
from tests.bench.locks.roster import PLAIN
from tests.bench.locks.scenarios import FULL, QUICK
from tests.bench.sitting import Subject, hold

LOCKS = Subject(
    name="locks",
    requirements={
        "peers": "requirements-locks.txt",
        "peers-old": "requirements-locks-old.txt",
    },
    program="tests.bench.locks.child",
    plan=PLAN,
    full=FULL,
    quick=QUICK,
    minutes=11.0,
    goals=GOALS,
    blocks=blocks,
    told=TOLD,
    distributions=[entry.distribution for entry in PLAIN],
    panels=PANELS,
    short=SHORT,
    drawer="peers",
)

if __name__ == "__main__":
    sys.exit(hold(LOCKS, __doc__))
