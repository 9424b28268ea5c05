"""A fault run in a process of its own comes to a result, whatever becomes of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import apart
from tests.faults.apart import run_apart
from tests.faults.campaign import Size, campaign
from tests.faults.stage import Result
from tests.faults.suites import QUEUE


async def test_a_run_that_cannot_end_is_killed_and_not_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "STOPPING_S", 0.1)
    began = time.monotonic()

    result = await run_apart(
        *("queue", "Q1", tmp_path, 7, 1.0),
        within_s=0.1,
        program="tests.unit.testing.stuck",
    )

    assert result.ruling == "invalid"
    assert "killed" in result.why
    assert time.monotonic() - began < 30.0


async def test_a_run_that_fails_is_not_valid_and_leaves_its_words(
    tmp_path: Path,
) -> None:
    result = await run_apart(
        *("queue", "Q1", tmp_path / "Q1", 7, 1.0),
        within_s=30.0,
        program="json.tool",
    )

    assert result.ruling == "invalid"
    assert "no result" in result.why
    assert "usage" in (tmp_path / "Q1" / "failure.txt").read_text()


async def test_a_run_for_which_no_time_is_left_is_not_begun_and_unknown(
    tmp_path: Path,
) -> None:
    suite = replace(QUEUE, minutes=-1.0)
    told: list[Result] = []

    results, left_out = await campaign(
        suite, tmp_path, Size(7, 1.0, 1), ["Q1", "Q13"], told.append
    )

    assert [result.ruling for result in results] == ["unknown", "unknown"]
    assert "not begun" in told[0].why
    assert left_out == []
