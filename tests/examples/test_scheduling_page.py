"""What the page about schedules and flows shows is run, block by block."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = (DOCS / "scheduling.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SAID = (
    ("good morning, Ann / good morning, Bob / 1000",),
    ("heartbeat has fired [1-4] time", "nightly report has fired 0", "True"),
    ("3 pages", "^100$"),
    ("with the server",),
    ("It waits for a service that is down.", "paid 7"),
)


def test_every_block_is_tested_here():
    assert [language for language, _ in BLOCKS] == ["python"] * len(SAID)


@pytest.mark.parametrize("number", range(len(SAID)))
def test_a_block_does_what_the_page_says(tmp_path: Path, number: int):
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number][1])

    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=40,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for said in SAID[number]:
        assert re.search(said, done.stdout, re.MULTILINE), done.stdout
