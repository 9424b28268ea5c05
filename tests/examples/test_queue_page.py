"""What the page about the queue shows is run, block by block."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.settings.environment import SETTINGS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "queue.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SAID = (
    "report 1843 for ada",
    "['ada', 'ada', 'bob', 'ada', 'bob']",
    "Tasks called send are paused.|in the lane",
    "3 The task",
    "convert exhausted RuntimeError: broken",
)


def test_every_block_is_run_here():
    assert [language for language, _ in BLOCKS] == ["python"] * len(SAID)


@pytest.mark.parametrize("number", range(len(SAID)))
def test_a_block_does_what_the_page_says(tmp_path: Path, number: int):
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number][1])

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=40,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(SAID[number].replace("[", r"\["), done.stdout)


def test_every_setting_that_the_page_names_is_one():
    paths = {described.path for described in SETTINGS}
    named = set(re.findall(r"`(queue\.[a-z_.]+)`", PAGE))

    sections = {path.rpartition(".")[0] for path in paths}
    assert named
    assert named <= paths | sections
