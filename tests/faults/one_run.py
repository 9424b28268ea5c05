"""One fault run, as `apart` starts it: `python -m tests.faults.one_run ORDER`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.faults.apart import LEFT_OUT
from tests.faults.fake_clock import MissingCompiler
from tests.faults.running import patience_s, perform
from tests.faults.stage import Stage
from tests.faults.suites import SUITES
from tests.servers import MissingServer


def main() -> int:
    suite, name, place, seed, scale, bugs = json.loads(sys.argv[1])
    stage = Stage(Path(place), seed, scale, tuple(bugs))
    try:
        runs, full_s = SUITES[suite].runs, SUITES[suite].within_s
        within_s = patience_s(full_s, scale)
        result = asyncio.run(perform(runs, name, stage, within_s))
    except (MissingCompiler, MissingServer) as error:
        sys.stderr.write(f"{error}\n")
        return LEFT_OUT
    result.save(stage.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
