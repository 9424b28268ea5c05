"""The advanced integration example, run as its user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "advanced_integration_example.py"
REQUESTS = ROOT / "examples" / "consultations" / "requests.jsonl"


def run(
    *words: str, given: str | None = None, folder: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        check=False,
    )


@pytest.mark.timeout(120)
def test_every_request_is_accounted_for_through_a_death_and_a_sickness(tmp_path: Path):
    good = REQUESTS.read_text().splitlines()[:240]
    lines = [*good[:10], "{nonsense", *good[10:], '{"user_id": "u-1"}']
    picture = tmp_path / "demo.svg"

    done = run(
        *("--json", "--requests", "-", "--rate", "60"),
        *("--report", "report.json", "--picture", str(picture)),
        given="\n".join(lines),
        folder=tmp_path,
    )

    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"]
    assert report["requests"] == report["results"] == 240
    assert report["missing"] == report["unexpected"] == report["written_twice"] == []
    assert [line.split(":")[0] for line in report["malformed"]] == [
        "line 11",
        "line 242",
    ]
    assert "refused: line 11: not JSON" in done.stderr
    # A session of 3 s: at most its ttl, a look of the sweeper, and a busy machine.
    assert 0.5 < report["detect_s"] < 3 + 1.5
    assert report["degraded_mode_seen"]
    assert report["degrade_s"] < 6
    # 1 s healthy and 3 s of dwell at the least before it is left.
    assert 2 < report["recover_s"] < 12
    assert report["dead_letters"] == 0
    assert report["cache_hits"] > 0
    assert len(report["answered_by"]) >= 2

    said = [json.loads(line) for line in done.stdout.splitlines()]
    messages = [line["message"] for line in said]
    assert messages[-1] == "report"
    for step in ("SIGKILL", "instance.gone", "SIGSTOP", "config.changed", "SIGCONT"):
        assert step in messages
    assert messages.index("SIGKILL") < messages.index("instance.gone")
    assert "degraded" in picture.read_text().lower()


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    done = run("--requests", "nowhere.jsonl", folder=tmp_path)

    assert done.returncode == 1
    assert "nowhere.jsonl cannot be read: No such file" in done.stderr


def test_input_without_any_request_starts_nothing(tmp_path: Path):
    done = run("--requests", "-", given="nonsense\n", folder=tmp_path)

    assert done.returncode == 1
    assert "refused: line 1" in done.stderr
    assert "has no request that can be worked on" in done.stderr


@pytest.mark.parametrize("words", [["--rate", "0"], ["--workers", "0"]])
def test_options_that_make_no_sense_are_refused(tmp_path: Path, words: list[str]):
    done = run(*words, folder=tmp_path)

    assert done.returncode == 2
    assert "must be" in done.stderr
