"""Short fault runs of the queue, judged as `make faults` judges the long ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.campaign import catches
from tests.faults.running import perform
from tests.faults.stage import Stage
from tests.faults.suites import QUEUE

SEED = 7
SHORT = 0.005


async def test_short_runs_are_valid_and_one_with_a_bug_is_not(tmp_path: Path) -> None:
    """All at once, because most of the time they wait."""
    names = ("Q2 before done is answered", "Q7 enqueue", "Q7 exchange")

    caught, *results = await asyncio.gather(
        catches(QUEUE, tmp_path, "exchange_forgotten", SEED),
        *(
            perform(QUEUE.runs, name, Stage(tmp_path / name, SEED, SHORT))
            for name in names
        ),
    )

    assert caught.is_caught, caught
    for result in results:
        assert result.ruling == "valid", f"{result.run}: {result.why}"
