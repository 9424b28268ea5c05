"""Short fault runs of locks, judged as `make faults` judges the long ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.campaign import catches
from tests.faults.lock_runs import run
from tests.faults.stage import Stage
from tests.faults.suites import LOCKS

SEED = 7
SHORT = 0.005


async def test_short_runs_are_valid_and_one_with_a_bug_is_not(tmp_path: Path):
    """All at once, because most of the time they wait."""
    names = ("L2", "L8", "L10")

    caught, *results = await asyncio.gather(
        catches(LOCKS, tmp_path, "tokens_by_counter", SEED),
        *(run(name, Stage(tmp_path / name, SEED, SHORT)) for name in names),
    )

    assert caught.is_caught, caught
    for result in results:
        assert result.ruling == "valid", f"{result.run}: {result.why}"


async def test_a_cancellation_at_any_await_leaves_nothing(tmp_path: Path):
    result = await run("L9", Stage(tmp_path, SEED, SHORT))

    assert result.ruling == "valid", result.why


async def test_a_cancellation_that_is_swallowed_is_found(tmp_path: Path):
    name = "cancellation_swallowed"

    caught = await catches(LOCKS, tmp_path, name, SEED)

    assert caught.is_caught
