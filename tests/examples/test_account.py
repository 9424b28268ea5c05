"""The account goes red when a request is lost, invented or written twice."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

from examples.consultations.intake import Malformed, Request
from examples.consultations.ledger import Ledger
from examples.consultations.report import Marks, account, drawn
from quorate.core.errors import StaleTokenError


def a_request(ident: str) -> Request:
    return Request(ident, "u-1", "high", {})


def a_row(ident: str, **changes: object) -> dict[str, object]:
    return {
        "request_id": ident,
        "user_id": "u-1",
        "urgency": "high",
        "token": 5,
        "attempt": 1,
        "worker": "w",
        "lock_wait_s": 0.0,
        "from_cache": 0,
        "instance": "i-1",
        "answer": "rest",
        **changes,
    }


def a_run(ident: str, outcome: str = "written") -> dict[str, object]:
    return {"request_id": ident, "attempt": 1, "worker": "w", "outcome": outcome}


def test_all_is_well_when_each_request_has_one_result():
    report = account(
        [a_request("a"), a_request("b")],
        [],
        [a_row("a"), a_row("b", from_cache=1, lock_wait_s=0.2)],
        [a_run("a"), a_run("b", "failed"), a_run("b")],
        Marks(started=10.0, killed=11.0, death_noticed=12.5, finished=14.0),
    )

    assert report.ok
    assert report.retries == 1
    assert report.cache_hits == 1
    assert report.lock_waits == 1
    assert report.detect_s == 1.5
    assert report.tasks_per_second == 0.5


@pytest.mark.parametrize(
    ("results", "runs", "fault"),
    [
        ([], [], "missing"),
        ([a_row("a"), a_row("x")], [a_run("a")], "unexpected"),
        ([a_row("a"), a_row("a")], [a_run("a")], "written_twice"),
        ([a_row("a")], [a_run("a"), a_run("a")], "written_twice"),
    ],
)
def test_a_fault_turns_the_report_red(results, runs, fault: str):
    report = account([a_request("a")], [], results, runs, Marks())

    assert not report.ok
    assert getattr(report, fault)


def test_the_drawing_names_the_verdict_and_the_refused_lines():
    stream = io.StringIO()
    malformed = [Malformed(n, "not JSON") for n in range(1, 13)]
    report = account([a_request("a")], malformed, [], [], Marks())

    Console(file=stream, width=100).print(drawn(report))

    text = stream.getvalue()
    assert "1 missing ['a']" in text
    assert "line 1: not JSON" in text
    assert "2 more" in text


async def test_the_ledger_takes_a_result_once_and_refuses_a_stale_token(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.db")
    await ledger.create()

    assert await ledger.write(a_row("a", token=5))
    assert not await ledger.write(a_row("a", token=6))
    with pytest.raises(StaleTokenError, match="later holder"):
        await ledger.write(a_row("b", token=5))

    assert await ledger.count() == 1
    assert [row["request_id"] for row in await ledger.results()] == ["a"]
    await ledger.ran("a", 1, "w", "written")
    assert (await ledger.runs())[0]["outcome"] == "written"
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        assert db.execute("SELECT token FROM fences").fetchall() == [(6,)]
